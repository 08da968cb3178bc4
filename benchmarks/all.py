"""Runs every benchmark and prints the page docs/benchmarks.md.

python -m benchmarks.all [--only NAME …] > docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from flows.ops.environment import PROJECT
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract

DOCUMENTS = "{documents}"
BENCHMARKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pipeline": ("The whole pipeline on the Brown Corpus", ()),
    "extraction": ("Extraction", ()),
    "cleaning": ("Cleaning", ()),
    "growth": ("What a text costs in each stage", ("--texts", "5000", "50000", "--to", "tokenization")),
    "tools": ("Each stage beside the best tool for its job", ()),
    "vocabulary": ("Learning a vocabulary, and encoding with it", ("--documents", DOCUMENTS)),
    "cells": ("The recurrent layers alone, compared with the GRU and the floor", ()),
    "gradients": ("How far gradients reach through each cell", ("--picture", "docs/images/gradients.png")),
}

PICTURES = {
    "gradients": "![Gradient norm by distance to the loss, untrained: every cell's falls below 1e-19 within 120 steps; "
    "trained: those of gru, mingru and minlstm stay near one half over 256 steps, that of the LSTM's c near 0.06, and "
    "the RNN's still vanishes](images/gradients.png)"
}
"""The pictures that benchmarks draw, for docs/benchmarks.md."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, help="only these benchmarks")
    arguments = parser.parse_args()
    print(f"# Benchmarks\n\n{_machine()}\n\n`make bench` prints this page. These machines are noisy: trust the ratios,")
    print("which are measured side by side in one run, more than the seconds.")
    with tempfile.TemporaryDirectory() as folder:
        extract.function(ExtractionSettings.model_validate({}, context={"root": PROJECT}), Path(folder))
        for name in arguments.only or BENCHMARKS:
            title, options = BENCHMARKS[name]
            given = [str(Path(folder) / "documents") if option is DOCUMENTS else option for option in options]
            print(f"\n## {title}\n\n`python -m benchmarks.{name}`\n\n{_table(_run(name, given))}", flush=True)
            if name in PICTURES:
                print(f"\n{PICTURES[name]}", flush=True)
    print("\nAccuracy over five folds, compared with the baselines, is in the README: `corpusflow crossvalidate`.")


def _run(name: str, options: list[str]) -> list[dict[str, Any]]:
    print(f"running {name} …", file=sys.stderr)
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *options]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    return list(json.loads(done.stdout))


def _table(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
    return "" if value is None else str(value).replace("_", " ")


def _machine() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "prefect", "pyarrow"))
    today = datetime.datetime.now(datetime.UTC).date()
    return f"{today}, {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {versions}."


if __name__ == "__main__":
    main()
