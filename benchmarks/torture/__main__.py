"""Faults, one after another: `python -m benchmarks.torture [--share 0.1] [--only NAME …] [--json]`.

Each line of the table is a promise of docs/reliability.md. A line is whole if all its trials are right; the exit code
is 1 if one is not. Trials are seeded: the same seed and name repeat them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.launcher import USED

ROWS = ("crashes", "several", "damage", "storage", "corpora", "orchestration", "settings", "surface", "soak")


@dataclass
class Line:
    """A line of the table."""

    what: str
    trials: int
    right: int
    note: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the trials, at least one of each line")
    parser.add_argument("--only", nargs="*", choices=ROWS, metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--trial", default="", help="only the trials whose name matches this regular expression")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at once")
    parser.add_argument("--keep", action="store_true", help="keep the folders of trials that are not right")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and folders do not stay
    root = Path(tempfile.mkdtemp(prefix="torture-"))
    lab, lines = Lab(root), []
    try:
        for name in arguments.only or ROWS:
            module = importlib.import_module(f"benchmarks.torture.{name}")
            trials = [t for t in module.plan(lab, arguments.share) if re.search(arguments.trial, t.name)]
            lines += run_trials(lab, name, trials, arguments)
    finally:
        lab.stop()
        if not arguments.keep:
            shutil.rmtree(root, ignore_errors=True)
    if arguments.json:
        print(json.dumps([asdict(line) for line in lines], ensure_ascii=False))
    else:
        show(lines)
    sys.exit(any(line.right < line.trials for line in lines))


def run_trials(lab: Lab, row: str, trials: Sequence[Trial], arguments: argparse.Namespace) -> list[Line]:
    """Runs the trials, several at once; a line for each `what` among them."""
    started, used = time.monotonic(), sum(USED)

    def run(numbered: tuple[int, Trial]) -> str | None:
        number, trial = numbered
        folder = lab.root / f"{row}-{number:03}"
        folder.mkdir()
        try:
            wrong = trial.check(folder, random.Random(f"{arguments.seed} {trial.name}"))
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong is not None:
            kept = f"; {folder}" if arguments.keep else ""
            print(f"{row}: {trial.name}:\n    {wrong[:1000]}{kept}", file=sys.stderr, flush=True)
        if wrong is None or not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
        return wrong

    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = list(pool.map(run, enumerate(trials)))
    lines: dict[str, Line] = {}
    for trial, wrong in zip(trials, outcomes, strict=True):
        line = lines.setdefault(trial.what, Line(trial.what, 0, 0, ""))
        line.trials += 1
        line.right += wrong is None
        if wrong is not None and not line.note:
            line.note = f"{trial.name.removeprefix(trial.what).strip(': ')}: {wrong[:200]}"
    took = f"{time.monotonic() - started:.0f} s, {sum(USED) - used:.0f} processor seconds of commands"
    print(f"{row}: {len(trials)} trials, {took}", file=sys.stderr, flush=True)
    return list(lines.values())


def show(lines: Sequence[Line]) -> None:
    """The table, in Markdown."""
    print("| what | trials | right | note |\n| --- | --- | --- | --- |")
    for line in lines:
        print(f"| {line.what} | {line.trials} | {line.right} | {line.note.replace('|', '/')} |")


if __name__ == "__main__":
    main()
