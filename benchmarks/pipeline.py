"""A cold run of the whole pipeline on the Brown Corpus, and a run that changes nothing next to an empty Prefect flow.

    python -m benchmarks.pipeline [--rounds 5] [--texts 50000] [--json]

With `--texts`, so many generated texts of 300 words (`benchmarks.corpus`) instead of Brown, and a small model. Each run
is a process of its own, with the embedded server and a temporary data folder. "peak" is the resident memory of the
largest process. The run that reuses everything and the empty flow of eight cached tasks alternate; the ratio is that of
their medians.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.corpus import write

PROJECT = Path(__file__).resolve().parents[1]
SMALL = ("linear.members=[words]", "linear.C=[1.0]", "training.epochs=1", "training.hidden_size=8")
"""A model that is soon made, where it does not matter."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of the reused run and of the empty flow")
    parser.add_argument("--texts", type=int, metavar="N", help="N generated texts instead of Brown, and a small model")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments.rounds, arguments.texts)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


def measure(folder: Path, rounds: int, texts: int | None = None) -> list[dict[str, Any]]:
    """Rows: each stage of the cold run, the cold run, the reused run, the empty flow, and how the last two compare."""
    shutil.copy(PROJECT / "pipeline.yaml", folder)
    run = [sys.executable, "-m", "flows.cli", "run", "--json"]
    if texts:
        write(folder / "texts", texts)
        for setting in (*SMALL, "extraction.source=table", f"extraction.table.path={folder / 'texts'}"):
            run += ["--set", setting]
    cold, out = timed(run, folder)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    record = json.loads(out)
    again = []
    empty = []
    for _ in range(rounds):
        seconds, out = timed(run, folder)
        if any(stage["status"] != "reused" for stage in json.loads(out)["stages"]):
            raise SystemExit("a run that changes nothing built something")
        again.append(seconds)
        empty.append(timed([sys.executable, "-m", "benchmarks.empty_flow"], folder)[0])
    reused, floor = statistics.median(again), statistics.median(empty)
    return [
        *({"what": f"cold: {stage['stage']}", "seconds": round(stage["seconds"], 1)} for stage in record["stages"]),
        {"what": "cold run, whole process", "seconds": round(cold, 1), "peak GiB": round(peak, 2)},
        {"what": "run that changes nothing", "seconds": round(reused, 2)},
        {"what": "empty flow of 8 cached tasks", "seconds": round(floor, 2)},
        {"what": "ratio of the two", "ratio": round(reused / floor, 2)},
        {"what": "seconds beyond the empty flow", "seconds": round(reused - floor, 2)},
        *_scores(record["metrics"]),
    ]


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    """Wall seconds of a process, and its standard output."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def environment(folder: Path) -> dict[str, str]:
    """The environment of a run in `folder`, with a Prefect server of its own."""
    variables = os.environ | {"PYTHONPATH": str(PROJECT), "PREFECT_HOME": str(folder / "prefect")}
    if "NLTK_DATA" not in variables and (PROJECT.parent / "shared/nltk_data").exists():
        variables["NLTK_DATA"] = str(PROJECT.parent / "shared/nltk_data")
    return variables


def _scores(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, scores in {"model": metrics, **metrics["baselines"]}.items():
        low, high = scores["accuracy_interval"]
        rows.append(
            {
                "what": f"test split: {name}",
                "accuracy": f"{scores['accuracy']:.3f} ({low:.3f}–{high:.3f})",
                "macro-F1": round(scores["macro_f1"], 3),
            }
        )
    return rows


if __name__ == "__main__":
    main()
