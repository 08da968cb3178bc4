"""Parts: pieces of a Parquet dataset, of bounded size, that a stage works on one by one, on the run's executor.

A part is some row groups of one file, in a row. How a dataset is divided depends on its rows alone, never on the number
of workers, and a row that comes or goes changes one part, as a rule (tasks/shared/boundaries.py). Up to 128 MiB parts
have some 256 KiB, so that few texts are worked on again for one that changes; beyond, their size doubles with that of
the dataset, up to 64 MiB, so that there are not too many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.boundaries import PIECE_BYTES, is_full, is_too_long, level_of
from tasks.shared.parquet import RowGroup, part_files, read_some_row_groups, unreadable

SMALLEST, LARGEST, AT_MOST = PIECE_BYTES, 64 * 2**20, 512
"""Bytes of a part, and the number of parts, about, at which they grow."""
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
        groups = [RowGroup(self.path, number) for number in range(self.first, self.end)]
        return read_some_row_groups(groups, columns, read_footer(self.path))

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Some columns, at most `rows` rows at a time."""
        try:
            with pq.ParquetFile(self.path, metadata=read_footer(self.path)) as file:
                groups = list(range(self.first, self.end))
                yield from file.iter_batches(rows, groups, list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from error

    def digest(self, columns: Sequence[str]) -> str:
        """sha256 of what the file holds of some columns: equal for equal rows of the part, wherever they lie.

        Not so if the rows are in other row groups, or were written by another version of the library.
        """
        of_columns = [_column_digest(self, name, _stamp(self.path)) for name in columns]
        return hashlib.sha256("".join(of_columns).encode()).hexdigest()

    def last_id(self) -> str:
        """The first column of the last row: in a sorted dataset no earlier row has a larger one."""
        key = read_footer(self.path).row_group(self.end - 1).column(0)
        if key.statistics is not None and key.statistics.has_min_max:
            return str(key.statistics.max)
        name = key.path_in_schema
        return str(read_some_row_groups([RowGroup(self.path, self.end - 1)], [name])[name][-1].as_py())


@dataclass(frozen=True)
class _Group:
    """A row group: its size, uncompressed, 0 if it has no rows; and the level of the boundary before it."""

    bytes: int
    level: int


def parts_of(folder: Path) -> list[Part]:
    """The parts of a dataset, in order, none without rows; raises ArtifactError if a file cannot be read."""
    files = [(path, _groups(path)) for path in part_files(folder)]
    level, size = _mean_size(sum(group.bytes for _, groups in files for group in groups))
    parts: list[Part] = []
    for path, groups in files:
        for first, end in _divided(groups, level, size):
            if content := sum(group.bytes for group in groups[first:end]):
                parts.append(Part(path, first, end, len(parts), content))
    return parts


def whole_files(folder: Path) -> list[Part]:
    """The files of a dataset that was itself made part by part; raises ArtifactError if one cannot be read."""
    parts: list[Part] = []
    for path in part_files(folder):
        groups = _groups(path)
        if content := sum(group.bytes for group in groups):
            parts.append(Part(path, 0, len(groups), len(parts), content))
    return parts


def read_footer(path: Path) -> pq.FileMetaData:
    """The metadata of a file, which takes a millisecond to read if the file has some hundred row groups."""
    try:
        return _footer(path, _stamp(path))
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def _stamp(path: Path) -> tuple[int, ...]:
    """What is another if a file was written anew."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=512)
def _footer(path: Path, _stamp: tuple[int, ...]) -> pq.FileMetaData:
    return pq.read_metadata(path)


@lru_cache(maxsize=2**15)
def _column_digest(part: Part, name: str, _stamp: tuple[int, ...]) -> str:
    """sha256 of what the file holds of a column of the part."""
    footer, found = read_footer(part.path), hashlib.sha256()
    try:
        with part.path.open("rb") as file:
            for group in map(footer.row_group, range(part.first, part.end)):
                for column in map(group.column, range(group.num_columns)):
                    if column.path_in_schema.partition(".")[0] == name:
                        file.seek(column.dictionary_page_offset or column.data_page_offset)
                        kind = (column.path_in_schema, column.physical_type, column.compression, column.num_values)
                        found.update(f"{kind} {column.total_compressed_size}\n".encode())
                        found.update(file.read(column.total_compressed_size))
    except OSError as error:
        raise unreadable(part.path, error) from error
    return found.hexdigest()


def _groups(path: Path) -> list[_Group]:
    footer = read_footer(path)
    return [_group(footer.row_group(number)) for number in range(footer.num_row_groups)]


def _group(group: pq.RowGroupMetaData) -> _Group:
    statistics = group.column(0).statistics
    known = statistics is not None and statistics.has_min_max  # not of ids of some kilobytes
    return _Group(group.total_byte_size if group.num_rows else 0, level_of(str(statistics.min)) if known else 0)


def _mean_size(total: int) -> tuple[int, int]:
    """The level of the boundaries between the parts of a dataset of `total` bytes, and the mean size of a part."""
    level, size = 0, SMALLEST
    while total > AT_MOST * size and size < LARGEST:
        level, size = level + 1, size * 2
    return level, size


def _divided(groups: Sequence[_Group], level: int, size: int) -> Iterator[tuple[int, int]]:
    """The first row group of each part of a file, and the one after its last."""
    first = content = 0
    for number, group in enumerate(groups):
        chosen = group.level >= level and is_full(content, size)
        if number > first and (chosen or is_too_long(content + group.bytes, size)):
            yield first, number
            first, content = number, 0
        content += group.bytes
    if first < len(groups):
        yield first, len(groups)
