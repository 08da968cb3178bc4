"""How far the work after the epochs is, for whoever wants to say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.tokenization.store import Chunk


class Watch:
    """Sees the texts that are read and the heads that are learned, and says nothing; others may say more."""

    def reading(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Passes on what is read."""
        return chunks

    def learned(self, heads: int, of: int) -> None:
        """So many of the heads that are learned are done."""
