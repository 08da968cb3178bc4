"""Counts of texts in files, read a slice of texts at a time: memory does not grow with the number of texts.

Most texts lack most tokens, so that only counts above zero are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

SLICE_BYTES = 2**25
"""Of numbers in double precision that are in memory at a time."""
SPARSE = 5
"""Numbers in double precision whose room a feature above zero takes, with its place and what is made of it."""


class StoredCounts:
    """An array [texts, columns] in files: texts are added at the end, and read by slices."""

    def __init__(self, values: IO[bytes], columns: IO[bytes], width: int, most: int) -> None:
        """`most` is the largest count that can occur, `width` the number of columns."""
        self._files = (values, columns)
        self._types = (np.min_scalar_type(most), np.min_scalar_type(width))
        self._ends = [0]
        self._width = width

    @property
    def shape(self) -> tuple[int, int]:
        """Texts and columns."""
        return len(self._ends) - 1, self._width

    @property
    def nnz(self) -> int:
        """Counts above zero."""
        return self._ends[-1]

    def append(self, counts: NDArray[Any]) -> None:
        """Adds texts, [texts, columns]. Raises OSError where the disk is full."""
        found = csr_array(counts)
        for file, numbers, kind in zip(self._files, (found.data, found.indices), self._types, strict=True):
            file.seek(self._ends[-1] * kind.itemsize)
            file.write(numbers.astype(kind).tobytes())
        self._ends += (self._ends[-1] + found.indptr[1:].astype(np.int64)).tolist()

    def __getitem__(self, texts: slice) -> csr_array:
        begin, end, _ = texts.indices(self.shape[0])
        ends = np.array(self._ends[begin : max(begin, end) + 1])
        found = []
        for file, kind in zip(self._files, self._types, strict=True):
            file.seek(int(ends[0]) * kind.itemsize)
            found.append(np.frombuffer(file.read(int(ends[-1] - ends[0]) * kind.itemsize), kind))
        return csr_array((found[0], found[1].astype(np.int32), ends - ends[0]), shape=(len(ends) - 1, self._width))


class Joined:
    """The texts of one array of counts and then those of another, read like one array."""

    def __init__(self, first: StoredCounts, second: StoredCounts) -> None:
        self._parts = (first, second)

    @property
    def shape(self) -> tuple[int, int]:
        """Texts and columns."""
        first, second = (part.shape for part in self._parts)
        return first[0] + second[0], first[1]

    @property
    def nnz(self) -> int:
        """Counts above zero."""
        return sum(part.nnz for part in self._parts)

    def __getitem__(self, texts: slice) -> csr_array:
        begin, end, _ = texts.indices(self.shape[0])
        first, second = self._parts
        border = first.shape[0]
        if end <= border:
            return first[begin:end]
        if begin >= border:
            return second[begin - border : end - border]
        return csr_array(vstack([first[begin:border], second[: end - border]]))


@contextmanager
def stored_counts(folder: Path, width: int, most: int) -> Iterator[StoredCounts]:
    """Inside: an empty array of `width` columns, in files in `folder`; `most` is the largest count that can occur.

    The files have no names there, or lose them at once: whatever becomes of this process, the system removes them.
    """
    with TemporaryFile(dir=folder) as values, TemporaryFile(dir=folder) as columns:
        yield StoredCounts(values, columns, width, most)


def room_of(blocks: Sequence[Any]) -> int:
    """Numbers in double precision whose room a text's features take on average, from its blocks [texts, …] of counts.

    Those of stored and of sparse counts take none for most zeros.
    """
    columns, filled = sum(block.shape[1] for block in blocks), sum(getattr(block, "nnz", np.inf) for block in blocks)
    return max(1, int(min(columns, SPARSE * filled / max(1, blocks[0].shape[0]))))


def slices(texts: int, columns: int) -> list[slice]:
    """So many texts one after another, as many at a time as SLICE_BYTES have room for."""
    size = max(1, SLICE_BYTES // (8 * columns))
    return [slice(begin, min(begin + size, texts)) for begin in range(0, texts, size)]
