"""The pipeline on corpora with published splits: the model of a plain run compared with its baselines.

    python -m benchmarks.corpora FOLDER [--only NAME …] [--seeds N] [--set KEY=VALUE …] [--data DATA] [--json]

FOLDER has a Parquet file per corpus, with the columns doc_id, label, split (train, test, perhaps validation) and text.
All texts count: repeated texts are kept. Rows without a value, texts that are empty once cleaned and labels without
training texts are left out, and counted on standard error. Seed n sets training.seed; "seconds" are those of the whole
process, whose later seeds reuse what the first one made, and "peak" is the resident memory of its largest process.
Artifacts stay in DATA, if given, and are reused.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq
import yaml

from benchmarks.pipeline import environment

COLUMNS = ("doc_id", "label", "split", "text")
SCORES = ("accuracy", "macro_f1", "log_loss")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with a Parquet file per corpus")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="corpora to run, by the names of their files")
    parser.add_argument("--seeds", type=int, default=1, help="runs per corpus, with the training seeds 0, 1, …")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings for all runs")
    parser.add_argument("--data", type=Path, help="folder for the artifacts; a temporary one by default")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    corpora = {file.stem: file.resolve() for file in sorted(arguments.folder.glob("*.parquet"))}
    if not corpora:
        parser.error(f"{arguments.folder}: no .parquet file in this folder")
    if unknown := set(arguments.only or ()) - corpora.keys():
        parser.error(f"--only: {', '.join(sorted(unknown))}: no such corpus; there are {', '.join(corpora)}")
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.only or corpora:
            folder = (arguments.data or Path(temporary)).resolve() / name
            folder.mkdir(parents=True, exist_ok=True)
            write_settings(name, complete_rows(corpora[name], folder), folder)
            records = [run(folder, [*arguments.set, f"training.seed={seed}"]) for seed in range(arguments.seeds)]
            results += [result(name, seed, record) for seed, record in enumerate(records)]
            if not arguments.json:
                print(*(line.rstrip() for line in lines(name, records)), sep="\n", flush=True)
    if arguments.json:
        print(json.dumps(results))


def complete_rows(corpus: Path, folder: Path) -> Path:
    """The corpus, or a copy in `folder` without the rows that lack a value, which the pipeline refuses."""
    if missing := set(COLUMNS) - set(pq.read_schema(corpus).names):
        raise SystemExit(f"{corpus}: no column {', '.join(sorted(missing))}; a corpus has {', '.join(COLUMNS)}")
    table = pq.read_table(corpus, columns=list(COLUMNS))
    complete = table.drop_null()
    if complete.num_rows == table.num_rows:
        return corpus
    print(f"{corpus}: left out rows without a value: {table.num_rows - complete.num_rows}", file=sys.stderr)
    copy = folder / corpus.name
    pq.write_table(complete, copy)
    return copy


def write_settings(name: str, corpus: Path, folder: Path) -> None:
    """pipeline.yaml in `folder`: the defaults, but for what the published splits ask for."""
    table = {"path": str(corpus), "doc_id_column": "doc_id", "split_column": "split"}
    settings = {
        "name": name,
        "data": "data",
        "extraction": {"source": "table", "table": table},
        "cleaning": {"min_characters": 1, "duplicates": {"exact": "keep"}},
        "splitting": {"small_labels": "drop"},
    }
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))


def run(folder: Path, settings: Sequence[str]) -> dict[str, Any]:
    """The record of a run, with the process's `seconds` and `peak_mib`; exits if it fails."""
    options = [argument for setting in settings for argument in ("--set", setting)]
    command = [sys.executable, "-m", "flows.cli", "run", "--json", *options]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=out)
        _, status, usage = os.wait4(process.pid, 0)  # its own usage; getrusage has the largest of all children so far
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{folder.name}: the run failed with exit code {process.returncode}")
        out.seek(0)
        record: dict[str, Any] = json.load(out)
    seconds = time.perf_counter() - started
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return {**record, "seconds": round(seconds, 1), "peak_mib": round(usage.ru_maxrss * bytes_per_unit / 2**20)}


def result(name: str, seed: int, record: dict[str, Any]) -> dict[str, Any]:
    """What `--json` says of a run; `members` and `without` are empty for a model that has no members."""
    metrics = record["metrics"]
    return {
        "corpus": name,
        "seed": seed,
        **scores(metrics),
        "members": metrics.get("members", {}),
        "without": metrics.get("without", {}),
        "seconds": record["seconds"],
        "peak_mib": record["peak_mib"],
    }


def scores(metrics: dict[str, Any]) -> dict[str, float | None]:
    """Accuracy, macro-F1 and log-loss; the log-loss is None for a classifier without probabilities."""
    values = {**metrics, "log_loss": metrics.get("calibration", metrics).get("log_loss")}
    return {name: None if values[name] is None else round(values[name], 4) for name in SCORES}


def lines(name: str, records: Sequence[dict[str, Any]]) -> list[str]:
    """A table: the model for each seed and on average, then its members and baselines, which no seed changes."""
    metrics = records[-1]["metrics"]
    test, labels = metrics["documents"], len(metrics["labels"])
    table = [f"{name}: {test:,} test texts, {labels} labels", f"{'':28}accuracy  macro-F1  log-loss  seconds  peak MiB"]
    of_seeds = [scores(record["metrics"]) for record in records]
    for seed, (found, record) in enumerate(zip(of_seeds, records, strict=True)):
        table.append(f"{_line(f'model, seed {seed}', found)}  {record['seconds']:7.1f}  {record['peak_mib']:8}")
    if len(records) > 1:
        mean = {score: fmean(found[score] or 0.0 for found in of_seeds) for score in SCORES}
        table.append(_line(f"model, mean of {len(records)}", mean))
    others = {**metrics.get("members", {}), **metrics["baselines"]}
    return [*table, *(_line(other, scores(found)) for other, found in others.items()), ""]


def _line(what: str, found: Mapping[str, float | None]) -> str:
    cells = ["" if found[name] is None else f"{found[name]:.4f}" for name in SCORES]
    return f"{what:28}{cells[0]:>8}  {cells[1]:>8}  {cells[2]:>8}"


if __name__ == "__main__":
    main()
