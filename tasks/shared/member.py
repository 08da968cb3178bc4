"""What every member of the stack offers: a classifier of texts that is saved in a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from tasks.shared.statistics.log_probabilities import Scores


class Occurrence(NamedTuple):
    """A word or a pair at one place of a text, and what it adds to the log-odds of two labels, in nats."""

    start: int
    end: int
    """Characters of the text; a pair's span has what stands between its words."""
    term: str
    """Lower-cased; the words of a pair are separated by one space."""
    amount: float


@dataclass(frozen=True)
class Evidence:
    """A member's log-odds of two labels as a sum: log p(label) - log p(other), in nats."""

    occurrences: Sequence[Occurrence]
    rest: float
    """What belongs to no word."""


class Member(Protocol):
    """A fitted classifier. A class that implements it also has `load(folder)`."""

    def log_probabilities(self, texts: Sequence[str]) -> Scores:
        """Log-probabilities [texts, labels] of cleaned texts; at least one text."""
        ...

    def explain(self, text: str, label: int, other: int) -> Evidence:
        """What in a cleaned text speaks for the class id `label` rather than for `other`."""
        ...

    def save(self, folder: Path) -> None:
        """Writes everything that `load` needs into an existing folder."""
        ...


def lower_with_positions(text: str) -> tuple[str, Sequence[int]]:
    """The text in lower case, and for each of its characters the position in `text` that it comes from.

    A few letters become two in lower case (İ); none disappears.
    """
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered, range(len(text))
    return lowered, [position for position, sign in enumerate(text) for _ in sign.lower()]
