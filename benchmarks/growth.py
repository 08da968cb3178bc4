"""What a text costs in each stage, by the number of texts: processor time, time, and peak memory.

    python -m benchmarks.growth [--texts 5000 50000 …] [--to evaluation] [--check] [--folder F] [--json] [--plot F.svg]
    python -m benchmarks.growth --read F.json … --plot F.svg     # draws what --json has written
    python -m benchmarks.growth --to tokenization --texts 50000 --add 100 [--ids later] [--keep-vocabulary]
    python -m benchmarks.growth --one training --texts 20000 --folder F/20000/20000 --set training.epochs=1

The texts are those of `benchmarks.corpus`: 300 words, 20 labels. Each stage runs in a process of its own, with the
settings of pipeline.yaml, changed by `--set`; a third of a second and some 150 MiB of each are Python and its
libraries. `--check` adds the check of each stage, `--one` measures a stage whose inputs `--folder` has. Processor
seconds are those of the process and of the processes that it starts.

`--add` goes through the stages once more, with so many texts more, the parts that the first pass kept, and splits that
continue the first ones; with `--keep-vocabulary` the vocabulary stays, too, if it suits them (`vocabulary.keep:
champion`). The ids are hashes of the texts, and so lie scattered; `--ids later`: numbers, and those of new texts follow
the others.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpus import write
from flows.pipeline.settings import Pipeline, load_settings, merge_overrides
from flows.pipeline.stages import STAGES
from tasks.shared.engine.stage import Stage
from tasks.shared.parts.kept import KeptParts, in_words
from tasks.shared.store.fingerprint import PROJECT

MADE_BY = {
    "documents": "extraction",
    "cleaned": "cleaning",
    "splits": "splitting",
    "tokens": "tokenization",
    "model": "stacking",
}
"""The stage that makes an input, where it has another name."""
LAST = "evaluation"
MARKS = "osD^vPX*<>"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, nargs="+", default=[5000], metavar="N")
    names = list(STAGES)
    upto = names[: names.index(LAST) + 1]
    parser.add_argument("--to", choices=upto, default=LAST, help="the last stage")
    parser.add_argument("--check", action="store_true", help="measure the checks, too")
    parser.add_argument("--folder", type=Path, help="keep the texts and what the stages make here")
    parser.add_argument("--add", type=int, metavar="N", help="once more, with N more texts")
    parser.add_argument("--ids", choices=("scattered", "later"), default="scattered", help="those of the added texts")
    parser.add_argument("--keep-vocabulary", action="store_true", help="that of the first pass, if it suits the others")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    parser.add_argument("--plot", type=Path, help="draw processor time and peak memory by the number of texts")
    parser.add_argument("--read", type=Path, nargs="+", metavar="FILE", help="measure nothing: read what --json wrote")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="other settings"
    )
    parser.add_argument("--one", metavar="STAGE", help="this stage alone, in this process; prints JSON")
    parser.add_argument("--before", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kept", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments)))
        return
    rows = [row for path in arguments.read or () for row in json.loads(path.read_text())]
    if not arguments.read:
        with tempfile.TemporaryDirectory() as scratch:
            folder, stages = arguments.folder or Path(scratch), upto[: upto.index(arguments.to) + 1]
            for texts in arguments.texts:
                rows.extend(_grow(folder / str(texts), texts, stages, arguments))
    if arguments.plot:
        draw(rows, arguments.plot)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['stage']:<22}{row['texts']:>9,} texts  {row['cpu_seconds_per_1000']:>7.3f} CPU s per 1,000"
            f"  {row['seconds_per_1000']:>7.3f} s per 1,000  {row['peak_mib']:>7,.0f} MiB  {row.get('parts', '')}"
        )


def _grow(folder: Path, texts: int, stages: list[str], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for number in (texts, texts + options.add) if options.add else (texts,):
        before = ["--before", str(folder / str(texts))] if number > texts else []
        write(folder / str(number) / "texts", number)
        for name in stages:
            for kind in (name, f"check of {name}") if options.check else (name,):
                print(f"{number:,} texts: {kind} …", file=sys.stderr)
                command = [sys.executable, "-m", "benchmarks.growth", "--one", kind, "--ids", options.ids, *before]
                command += ["--folder", str(folder / str(number)), "--texts", str(number)]
                command += ["--keep-vocabulary"] if options.keep_vocabulary else []
                command += ["--kept", str(folder / "kept")] if options.add else []
                command += [f"--set={change}" for change in options.changes]
                done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
                yield json.loads(done.stdout)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs a stage or its check in this process: the folder has the texts and the output of the stages before."""
    kind, folder, texts = options.one, options.folder, options.texts[0]
    changes = ["extraction.source=table", f"extraction.table.path={folder / 'texts'}"]
    changes += ["extraction.table.doc_id_column=number"] if options.ids == "later" else []
    changes += [f"vocabulary.keep={'champion' if options.keep_vocabulary else 'never'}", *options.changes]
    settings = load_settings(PROJECT / "pipeline.yaml", merge_overrides(changes))
    stage = STAGES[kind.removeprefix("check of ")]
    out = folder / stage.name
    inputs = {name: folder / MADE_BY.get(name, name) for name in _inputs(stage)}
    if options.before and stage.continues:
        inputs["previous"] = options.before / stage.name
    if options.before and stage.name == "vocabulary":
        inputs["champion_vocabulary"] = options.before / stage.name
    kept = KeptParts(options.kept / stage.name) if options.kept else None
    import pandas  # noqa: F401  # the run's process has it, for the checks; else pyarrow would load it now

    work = _check(stage, settings, out, inputs) if kind != stage.name else _stage(stage, settings, out, inputs, kept)
    started, before = time.monotonic(), _processor_seconds()
    work()
    seconds, used = time.monotonic() - started, _processor_seconds() - before
    return {
        "stage": kind,
        "texts": texts,
        "cpu_seconds_per_1000": round(1000 * used / texts, 4),
        "seconds_per_1000": round(1000 * seconds / texts, 4),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        **({"cpu_seconds": round(used, 2), "parts": in_words(kept.summary())} if kept else {}),
    }


def _inputs(stage: Stage) -> list[str]:
    parameters = inspect.signature(stage.function).parameters.values()
    needed = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    return [p.name for p in needed if p.name != "scratch"]


def _stage(
    stage: Stage, settings: Pipeline, out: Path, inputs: dict[str, Path], kept: KeptParts | None
) -> Callable[[], object]:
    out.mkdir()
    places: dict[str, Any] = dict(inputs)
    if "kept" in inspect.signature(stage.function).parameters:
        places["kept"] = kept
    if "scratch" in inspect.signature(stage.function).parameters:
        places["scratch"] = out.with_name(f"{out.name}-scratch")
        places["scratch"].mkdir()
    return lambda: stage.function(settings.sections[stage.name], out, **places)


def _check(stage: Stage, settings: Pipeline, out: Path, inputs: dict[str, Path]) -> Callable[[], object]:
    from tasks.shared.checks.runner import run_contract

    contract = importlib.import_module(stage.contract)
    limits = settings.limits[stage.name]
    return lambda: run_contract(contract, out, inputs, settings.sections[stage.name], limits)


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A line for each stage, without the checks, over the number of texts: time per 1,000 texts, and peak memory."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    shown = {"cpu_seconds_per_1000": "processor seconds per 1,000 texts", "peak_mib": "peak memory, MiB"}
    for axes, (column, title) in zip(figure.subplots(1, 2), shown.items(), strict=True):
        for number, stage in enumerate(dict.fromkeys(row["stage"] for row in rows if " " not in row["stage"])):
            own = sorted((row["texts"], row[column]) for row in rows if row["stage"] == stage)
            axes.plot(*zip(*own, strict=True), f"{MARKS[number % len(MARKS)]}-", label=stage, markersize=4)
        axes.set(title=title, xscale="log", yscale="log", xlabel="texts")
        axes.grid(color="#d5d9de", linewidth=0.6)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    main()
