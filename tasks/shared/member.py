"""What every member of the stack offers: a classifier of texts that is saved in a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tasks.shared.statistics.log_probabilities import Scores


class Member(Protocol):
    """A fitted classifier. A class that implements it also has `load(folder)`."""

    def log_probabilities(self, texts: Sequence[str]) -> Scores:
        """Log-probabilities [texts, labels] of cleaned texts; at least one text."""
        ...

    def save(self, folder: Path) -> None:
        """Writes everything that `load` needs into an existing folder."""
        ...
