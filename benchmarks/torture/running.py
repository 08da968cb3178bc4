"""Runs trials in a pool, says how far they are, and hands over the lines of each group when its trials have ended."""

from __future__ import annotations

import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.launcher import USED
from benchmarks.torture.table import Line

SECONDS_BETWEEN_LINES = 30


@dataclass
class Trials:
    """All trials of a call."""

    lab: Lab
    planned: Sequence[tuple[str, Trial]]
    """Each with its group, in the order in which they start."""
    seed: int
    keep: bool
    """Whether the folders of trials that are not right stay."""
    group_ended: Callable[[list[Line]], object]
    _ended: dict[int, dict[str, str | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._left = Counter(group for group, _ in self.planned)
        self._seconds: Counter[str] = Counter()
        self._wrong = 0
        self._started = self._said = time.monotonic()

    def run(self, jobs: int) -> list[Line]:
        """The lines of all groups."""
        pool = ThreadPoolExecutor(jobs)
        try:
            list(pool.map(self._try, range(len(self.planned))))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return self._lines(range(len(self.planned)))

    def _try(self, number: int) -> None:
        group, trial = self.planned[number]
        folder = self.lab.root / f"{group}-{number:04}"
        folder.mkdir()
        started = time.monotonic()
        try:
            outcome = trial.check(folder, random.Random(f"{self.seed} {trial.name}"))
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        outcomes = outcome if isinstance(outcome, dict) else {trial.what: outcome}
        wrong = "; ".join(filter(None, outcomes.values()))
        if not wrong or not self.keep:
            shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            self._ended[number] = outcomes
            self._left[group] -= 1
            self._seconds[group] += round(time.monotonic() - started)
            if wrong:
                self._wrong += 1
                _say(f"{group}: {trial.name}:\n    {wrong[:1000]}{f'; {folder}' if self.keep else ''}")
            self._report(group)

    def _report(self, group: str) -> None:
        if not self._left[group]:
            _say(f"{group}: done, {self._seconds[group]} seconds of trials")
            self.group_ended(self._lines([n for n, (of, _) in enumerate(self.planned) if of == group]))
        if not self._left[group] or time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            at = f"{self._said - self._started:.0f} s, {sum(USED):.0f} processor seconds of commands"
            _say(f"{len(self._ended)} of {len(self.planned)} trials, {self._wrong} not right; {at}")

    def _lines(self, numbers: Sequence[int]) -> list[Line]:
        """A line for each `what` among these trials; its note tells of the first one that is not right."""
        lines: dict[tuple[str, str], Line] = {}
        for number in numbers:
            group, trial = self.planned[number]
            for what, wrong in self._ended[number].items():
                line = lines.setdefault((group, what), Line(group, what, 0, 0, self.lab.notes.get(what, "")))
                line.trials += 1
                if wrong is not None and line.right == line.trials - 1:
                    line.note = f"{trial.name.removeprefix(what).strip(': ')}: {wrong[:200]}"
                line.right += wrong is None
        return list(lines.values())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
