"""Start-up of `corpusflow predict`, and texts a second on one core.

    python -m benchmarks.prediction MODEL TABLE [--text-column text] [--texts 4000] [--rounds 5] [--json]

MODEL is the folder of a trained model (`corpusflow path stacking`), TABLE a Parquet file of short texts. The start-up
is that of whole processes that label one text; "processor seconds" do not count the time that other processes took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.pipeline import PROJECT, timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the folder of a trained model")
    parser.add_argument("table", type=Path, help="a Parquet file of short texts")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--texts", type=int, default=4000, help="texts to label")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of the start-up")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    texts = pq.read_table(arguments.table, columns=[arguments.text_column])[0].to_pylist()[: arguments.texts]
    rows = [start_up(arguments.model.resolve(), texts[0], arguments.rounds), throughput(arguments.model, texts)]
    for row in [] if arguments.json else rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if arguments.json:
        print(json.dumps(rows))


def start_up(model: Path, text: str, rounds: int) -> dict[str, Any]:
    """Medians over processes that label one text."""
    seconds, processor = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.txt"
        file.write_text(text)
        for _ in range(rounds):
            before = _children_seconds()
            command = [sys.executable, "-m", "flows.cli", "predict", "--model", str(model), str(file)]
            seconds.append(timed(command, Path(folder))[0])
            processor.append(_children_seconds() - before)
    values = {"seconds": statistics.median(seconds), "processor_seconds": statistics.median(processor)}
    return {"what": "corpusflow predict, one text", **{key: round(value, 2) for key, value in values.items()}}


def throughput(model: Path, texts: list[str]) -> dict[str, Any]:
    """Texts a second in a process that one core and one thread serve."""
    code = (
        "import json, sys, time; from tasks.prediction.model import load_model\n"
        "model, texts = load_model(sys.argv[1], 'cpu'), json.load(sys.stdin); model.predict_proba(texts[:256])\n"
        "start, processor = time.perf_counter(), time.process_time(); model.predict_proba(texts)\n"
        "print(time.perf_counter() - start, time.process_time() - processor)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(model.resolve())]
    if hasattr(os, "sched_setaffinity"):
        command = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{_core()}}})\n{code}", command[-1]]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, input=json.dumps(texts), stdout=subprocess.PIPE, text=True, check=True
    )
    seconds, processor = map(float, done.stdout.split())
    return {
        "what": f"{len(texts):,} texts, one core",
        "texts_per_second": round(len(texts) / seconds),
        "texts_per_processor_second": round(len(texts) / processor),
    }


def _core() -> int:
    return max(os.sched_getaffinity(0))


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
