"""Parts: pieces of a Parquet dataset, of bounded size, that a stage works on one by one, on the run's executor.

A part is some row groups of one file, in a row. How a dataset is divided depends on its files alone, never on the
number of workers. Up to 1 GiB parts have some 4 MiB, so that all cores have work; from 16 GiB on they have 64 MiB, so
that there are not too many; in between there are 256.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.parquet import RowGroup, part_files, read_some_row_groups, unreadable

SMALLEST, LARGEST, AT_MOST = 4 * 2**20, 64 * 2**20, 256
"""Bytes of a part, and the number of parts before they grow."""
current_document: ContextVar[str] = ContextVar("current_document", default="")
"""The document that is being worked on, for messages."""


@dataclass(frozen=True)
class Part:
    """Row groups `first` … `end` - 1 of a file."""

    path: Path
    first: int
    end: int
    number: int
    """Its place among the parts of the dataset."""
    bytes: int
    """Its size in memory, approximately."""

    def __str__(self) -> str:
        return f"{self.path}, row groups {self.first} to {self.end - 1}"

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of the whole part."""
        return read_some_row_groups([RowGroup(self.path, number) for number in range(self.first, self.end)], columns)

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Some columns, at most `rows` rows at a time."""
        try:
            with pq.ParquetFile(self.path) as file:
                groups = list(range(self.first, self.end))
                yield from file.iter_batches(rows, groups, list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from error


def parts_of(folder: Path) -> list[Part]:
    """The parts of a dataset, in order, none without rows; raises ArtifactError if a file cannot be read."""
    files = [(path, _sizes(path)) for path in part_files(folder)]
    size = min(max(sum(sum(sizes) for _, sizes in files) // AT_MOST, SMALLEST), LARGEST)
    parts: list[Part] = []
    for path, sizes in files:
        for groups in _divided(sizes, size):
            if in_part := sum(sizes[group] for group in groups):
                parts.append(Part(path, groups[0], groups[-1] + 1, len(parts), in_part))
    return parts


def _sizes(path: Path) -> list[int]:
    """The bytes of each row group, uncompressed; 0 if it has no rows."""
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return [group.total_byte_size if group.num_rows else 0 for group in groups]


def _divided(sizes: Sequence[int], size: int) -> Iterator[list[int]]:
    """The numbers of the row groups of a file, in runs of about `size` bytes."""
    whole = max(1, sum(sizes))
    runs = max(1, round(whole / size))
    middles = (end - own / 2 for end, own in zip(accumulate(sizes), sizes, strict=True))
    places = [int(middle / whole * runs) for middle in middles]
    for _, numbers in groupby(range(len(sizes)), key=places.__getitem__):
        yield list(numbers)
