"""Rows of numbers in a file, read a slice of texts at a time: memory does not grow with the number of texts."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

SLICE_BYTES = 2**25
"""Of features in double precision that are in memory at a time."""


class StoredRows:
    """An array [texts, columns] in a file: texts are added at the end, and read by slices as of an array."""

    def __init__(self, file: IO[bytes], columns: int, kind: DTypeLike) -> None:
        self.shape = (0, columns)
        self._file, self._type = file, np.dtype(kind)

    def append(self, rows: NDArray[Any]) -> None:
        """Adds texts. Raises OSError where the disk is full."""
        self._file.seek(self._at(len(self)))
        self._file.write(rows.astype(self._type).tobytes())
        self.shape = (len(self) + len(rows), self.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, texts: slice) -> NDArray[Any]:
        begin, end, _ = texts.indices(len(self))
        self._file.seek(self._at(begin))
        data = self._file.read(self._at(end) - self._at(begin))
        return np.frombuffer(data, self._type).reshape(-1, self.shape[1])

    def _at(self, text: int) -> int:
        return text * self.shape[1] * self._type.itemsize


def slices(texts: int, columns: int) -> list[slice]:
    """So many texts one after another, as many at a time as SLICE_BYTES have room for features of."""
    size = max(1, SLICE_BYTES // (8 * columns))
    return [slice(begin, min(begin + size, texts)) for begin in range(0, texts, size)]
