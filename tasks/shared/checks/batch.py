"""What a stage's contract hands to the checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

ROWS = 16_384
"""Rows of a batch: each has a cost of its own, whatever its size."""


@dataclass(frozen=True)
class CheckBatch:
    """Rows, or aggregates of rows, and the expectations on them.

    `frame` has some rows of a dataset or a small table of aggregates, never a whole large corpus.
    Each expectation has its reason in `notes`. `key` names the column that identifies rows in the
    examples of a failed check.
    """

    name: str
    frame: pd.DataFrame
    expectations: Sequence[Expectation]
    key: str | None = None


def gathered(frames: Iterable[pd.DataFrame], empty: pd.DataFrame | None = None) -> Iterator[pd.DataFrame]:
    """The rows of the frames in order, at least `ROWS` at a time but for the last ones; `empty` if there are none."""
    import pandas as pd

    waiting: list[pd.DataFrame] = []
    for frame in frames:
        if not len(frame):
            continue
        waiting.append(frame)
        empty = None
        if sum(map(len, waiting)) >= ROWS:
            yield pd.concat(waiting, ignore_index=True)
            waiting = []
    if waiting:
        yield pd.concat(waiting, ignore_index=True)
    if empty is not None:
        yield empty
