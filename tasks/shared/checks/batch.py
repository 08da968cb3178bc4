"""What a stage's contract hands to the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True)
class CheckBatch:
    """Rows, or aggregates of rows, and the expectations on them.

    `frame` is one part of a dataset or a small table of aggregates, never a whole large corpus.
    Each expectation has its reason in `notes`. `key` names the column that identifies rows in the
    examples of a failed check.
    """

    name: str
    frame: pd.DataFrame
    expectations: Sequence[Expectation]
    key: str | None = None
