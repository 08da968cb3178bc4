"""Where a sorted dataset is cut, so that a new row changes the piece that it falls into and shifts none.

Content-defined chunking (Muthitacharoen, Chen and Mazières, A low-bandwidth network file system, SOSP 2001): a piece
begins at a row whose id says so, by its digest, not after a number of bytes. Pieces have `size` bytes on average, and a
quarter to four times as much; only a piece that reaches the upper bound is cut by its length. A boundary has a level:
every second one has level 1 or more, every fourth 2 or more, so larger pieces begin where smaller ones do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

PIECE_BYTES = 2**18
"""Of a row group: 140 texts of 300 words."""
SHORTEST, LONGEST = 1 / 4, 4
"""Bounds of a piece, in multiples of its mean size."""
_HALF = 32


def level_of(key: str) -> int:
    """The level of the boundary before the row with this id: 0 for half of them, 1 for a quarter, and so on."""
    low = _digest(key) | 1 << _HALF
    return (low & -low).bit_length() - 1


def is_full(content: int, size: int) -> bool:
    """Whether a piece of `content` bytes may end at a boundary."""
    return content >= size * SHORTEST


def is_too_long(content: int, size: int) -> bool:
    """Whether a piece of `content` bytes must have ended."""
    return content > size * LONGEST


class Boundaries:
    """Goes through the rows of a dataset in order, and knows how long the present piece is."""

    def __init__(self, size: int = PIECE_BYTES) -> None:
        self.size, self._content = size, 0

    def before(self, rows: Iterable[tuple[str, int]]) -> Iterator[int]:
        """The numbers of those of the next rows that begin a piece; a row is its id and its bytes."""
        for number, (key, content) in enumerate(rows):
            chosen = is_full(self._content, self.size) and _begins(key, content, self.size)
            if self._content and (chosen or is_too_long(self._content + content, self.size)):
                self._content = 0
                yield number
            self._content += content


def _begins(key: str, content: int, size: int) -> bool:
    """True for one row in `size` bytes: a row of more bytes is more likely to be one."""
    return (_digest(key) >> _HALF) * size < content << _HALF


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
