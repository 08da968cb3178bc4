"""Sparse counts of texts on disk, read by blocks of rows: memory does not grow with the number of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

ROW_BLOCK_BYTES = 2**25
"""Memory of one block of rows, as float64."""
SPARSE = 5
"""Memory of one non-zero feature, in float64 units (value, index, temporaries)."""


class OnDiskCsr:
    """A CSR array [texts, columns] in files: rows are appended, and read by slices."""

    def __init__(self, values: IO[bytes], columns: IO[bytes], width: int, largest: int) -> None:
        """`largest` is the largest possible count, `width` the number of columns."""
        self._files = (values, columns)
        self._types = (np.min_scalar_type(largest), np.min_scalar_type(width))
        self._ends = [0]
        self._width = width

    @property
    def shape(self) -> tuple[int, int]:
        """Texts and columns."""
        return len(self._ends) - 1, self._width

    @property
    def nnz(self) -> int:
        """Number of non-zero counts."""
        return self._ends[-1]

    def append(self, counts: NDArray[Any]) -> None:
        """Appends rows [texts, columns]. Raises OSError if the disk is full."""
        rows = csr_array(counts)
        for file, numbers, kind in zip(self._files, (rows.data, rows.indices), self._types, strict=True):
            file.seek(self._ends[-1] * kind.itemsize)
            file.write(numbers.astype(kind).tobytes())
        self._ends += (self._ends[-1] + rows.indptr[1:].astype(np.int64)).tolist()

    def __getitem__(self, texts: slice) -> csr_array:
        begin, end, _ = texts.indices(self.shape[0])
        ends = np.array(self._ends[begin : max(begin, end) + 1])
        arrays = []
        for file, kind in zip(self._files, self._types, strict=True):
            file.seek(int(ends[0]) * kind.itemsize)
            arrays.append(np.frombuffer(file.read(int(ends[-1] - ends[0]) * kind.itemsize), kind))
        return csr_array((arrays[0], arrays[1].astype(np.int32), ends - ends[0]), shape=(len(ends) - 1, self._width))


class Concatenated:
    """The rows of two arrays of counts, read like one array."""

    def __init__(self, first: OnDiskCsr, second: OnDiskCsr) -> None:
        self._parts = (first, second)

    @property
    def shape(self) -> tuple[int, int]:
        """Texts and columns."""
        first, second = (part.shape for part in self._parts)
        return first[0] + second[0], first[1]

    @property
    def nnz(self) -> int:
        """Number of non-zero counts."""
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
def on_disk_csr(folder: Path, width: int, largest: int) -> Iterator[OnDiskCsr]:
    """An empty array of `width` columns; `largest` is the largest possible count.

    Its files in `folder` are anonymous and temporary: the OS deletes them even if the process is killed.
    """
    with TemporaryFile(dir=folder) as values, TemporaryFile(dir=folder) as columns:
        yield OnDiskCsr(values, columns, width, largest)


def mean_row_size(blocks: Sequence[Any]) -> int:
    """Mean memory of a text's features, in float64 units, from its blocks [texts, …] of counts, dense or sparse."""
    columns, filled = sum(block.shape[1] for block in blocks), sum(getattr(block, "nnz", np.inf) for block in blocks)
    return max(1, int(min(columns, SPARSE * filled / max(1, blocks[0].shape[0]))))


def row_blocks(texts: int, columns: int) -> list[slice]:
    """Consecutive slices of all texts, each of at most ROW_BLOCK_BYTES (but of one text at least)."""
    size = max(1, ROW_BLOCK_BYTES // (8 * columns))
    return [slice(begin, min(begin + size, texts)) for begin in range(0, texts, size)]
