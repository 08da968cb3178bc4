"""Faults, one after another: `python -m benchmarks.torture [--share 0.1] [--only GROUP …] [--json] [--write]`.

Each line of the table is a promise of docs/reliability.md. A line is whole if all its trials are right; the exit code
is 1 if one is not. Trials are seeded: the same seed and name repeat them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.launcher import USED
from benchmarks.torture.table import Line, as_json, as_markdown, write

GROUPS = (
    *("soak", "deployment", "orchestration", "crashes", "several", "damage", "storage", "corpora", "settings"),
    "surface",
)
"""In the order in which they start: the soak is one trial that takes minutes."""
SECONDS_BETWEEN_LINES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the trials, at least one of each line")
    parser.add_argument("--only", nargs="*", choices=GROUPS, metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--trial", default="", help="only the trials whose name matches this regular expression")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="trials at once; many of them wait")
    parser.add_argument("--keep", action="store_true", help="keep the folders of trials that are not right")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    parser.add_argument("--write", action="store_true", help="write the groups' lines into docs/reliability.md")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and folders do not stay
    root = Path(tempfile.mkdtemp(prefix="torture-"))
    lab, started = Lab(root), time.monotonic()
    try:
        lines = run_trials(lab, arguments)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        lab.stop()
        shutil.rmtree(root, ignore_errors=True)
        print("interrupted; the table is as it was", file=sys.stderr)
        os._exit(130)  # without the trials that run
    finally:
        lab.stop()
        if not arguments.keep:
            shutil.rmtree(root, ignore_errors=True)
    print(as_json(lines) if arguments.json else as_markdown(lines))
    if arguments.write:
        write(lines, GROUPS, time.monotonic() - started)
    sys.exit(any(line.right < line.trials for line in lines))


def run_trials(lab: Lab, arguments: argparse.Namespace) -> list[Line]:
    """Runs the trials of all groups in one pool; a line for each `what` among them."""
    planned = [
        (group, trial)
        for group in arguments.only or GROUPS
        for trial in importlib.import_module(f"benchmarks.torture.{group}").plan(lab, arguments.share)
        if re.search(arguments.trial, trial.name)
    ]
    progress = Progress(Counter(group for group, _ in planned))

    def run(numbered: tuple[int, tuple[str, Trial]]) -> dict[str, str | None]:
        number, (group, trial) = numbered
        folder = lab.root / f"{group}-{number:04}"
        folder.mkdir()
        started = time.monotonic()
        try:
            outcome = trial.check(folder, random.Random(f"{arguments.seed} {trial.name}"))
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        outcomes = outcome if isinstance(outcome, dict) else {trial.what: outcome}
        wrong = "; ".join(filter(None, outcomes.values()))
        if not wrong or not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
        kept = f"; {folder}" if arguments.keep else ""
        progress.ended(group, trial.name, wrong and wrong[:1000] + kept, time.monotonic() - started)
        return outcomes

    pool = ThreadPoolExecutor(arguments.jobs)
    try:
        ended = list(pool.map(run, enumerate(planned)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    lines: dict[tuple[str, str], Line] = {}
    for (group, trial), outcomes in zip(planned, ended, strict=True):
        for what, wrong in outcomes.items():
            line = lines.setdefault((group, what), Line(group, what, 0, 0, lab.notes.get(what, "")))
            line.trials += 1
            if wrong is not None and line.right == line.trials - 1:
                line.note = f"{trial.name.removeprefix(what).strip(': ')}: {wrong[:200]}"
            line.right += wrong is None
    return list(lines.values())


class Progress:
    """Says on standard error which trials are not right, which groups have ended, and how far all are."""

    def __init__(self, left: Counter[str]) -> None:
        self._left, self._total = left, left.total()
        self._lock = threading.Lock()
        self._wrong = 0
        self._started = self._said = time.monotonic()
        self._seconds: Counter[str] = Counter()

    def ended(self, group: str, name: str, wrong: str, seconds: float) -> None:
        with self._lock:
            self._left[group] -= 1
            self._seconds[group] += round(seconds)
            if wrong:
                self._wrong += 1
                self._say(f"{group}: {name}:\n    {wrong}")
            if not self._left[group]:
                self._say(f"{group}: done, {self._seconds[group]} seconds of trials")
            if not self._left[group] or time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
                self._said = time.monotonic()
                done, used = self._total - self._left.total(), sum(USED)
                at = f"{self._said - self._started:.0f} s, {used:.0f} processor seconds of commands"
                self._say(f"{done} of {self._total} trials, {self._wrong} not right; {at}")

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
