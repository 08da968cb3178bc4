"""Parquet datasets in parts of bounded size, so that memory does not grow with the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.shared.boundaries import PIECE_BYTES, Boundaries, is_full, is_too_long, level_of
from tasks.shared.errors import ArtifactError, lacks_memory, one_line

PART_BYTES = 64 * 2**20
"""A part is closed once this many bytes (in memory, uncompressed) went into it."""
ROW_GROUP_BYTES = 4 * 2**20
"""A row group: small enough to be read by a worker at a time, large enough to compress well."""


ONE_FILE = "part-00000.parquet"
"""The file of a dataset that was written with `part_bytes=UNBOUNDED`."""
UNBOUNDED = 2**62


class PartWriter:
    """Writes rows to `part-00000.parquet`, `part-00001.parquet`, … in `folder`.

    The same rows, schema and library version give the same bytes. A dataset without rows still has one part,
    so that a reader finds the columns.
    """

    def __init__(
        self, folder: Path, schema: pa.Schema, part_bytes: int = PART_BYTES, row_group_bytes: int = ROW_GROUP_BYTES
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.schema = folder, schema
        self.statistics: bool | list[str] = True
        self.part_bytes, self.row_group_bytes = part_bytes, row_group_bytes
        self.rows = 0
        self._parts = 0
        self._in_part = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: pa.RecordBatch | Sequence[Mapping[str, Any]]) -> None:
        """Adds rows, in order; dictionaries must have the schema's columns."""
        if not isinstance(rows, pa.RecordBatch):
            rows = pa.RecordBatch.from_pylist(list(rows), schema=self.schema)
        if rows.num_rows:
            self.rows += rows.num_rows
            self._add(rows)

    def _add(self, rows: pa.RecordBatch) -> None:
        self._wait(rows, rows.nbytes)
        if self._waiting_bytes >= self.row_group_bytes:
            self._write_row_groups(max(1, self._waiting_bytes // self.row_group_bytes))
            if self._in_part >= self.part_bytes:
                self._close_part()

    def _wait(self, rows: pa.RecordBatch, content: int) -> None:
        self._waiting.append(rows)
        self._waiting_bytes += content

    def _write_row_groups(self, groups: int = 1) -> None:
        if self._writer is None:
            path = self.folder / f"part-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(path, self.schema, compression="zstd", write_statistics=self.statistics)
        # One chunk per column: the pages of a row group depend on its rows alone, not on how they arrived.
        table = pa.Table.from_batches(self._waiting, schema=self.schema).combine_chunks()
        self._writer.write_table(table, row_group_size=max(1, -(-table.num_rows // groups)))
        self._in_part += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0

    def _close_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer, self._in_part = None, 0
            self._parts += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and (self._waiting or (self._parts == 0 and self._writer is None)):
            self._write_row_groups()
        self._close_part()


class SortedWriter(PartWriter):
    """Writes rows that are sorted by their first column, an id that no two share, and cuts them by that id.

    A row that is added, removed or changed later changes one row group, as a rule, and no other by a byte. Sizes are
    those of the strings, so files do not depend on how the rows arrive.
    """

    def __init__(
        self, folder: Path, schema: pa.Schema, part_bytes: int = PART_BYTES, row_group_bytes: int = PIECE_BYTES
    ) -> None:
        super().__init__(folder, schema, part_bytes, row_group_bytes)
        self.statistics = [schema.names[0]]  # of texts they would be most of the footer, which is read often
        self._boundaries = Boundaries(row_group_bytes)

    def _add(self, rows: pa.RecordBatch) -> None:
        ids, sizes, first = rows[0].to_pylist(), _row_bytes(rows), 0
        for row in self._boundaries.before(zip(ids, sizes, strict=True)):
            if row > first:
                self._wait(rows.slice(first, row - first), sum(sizes[first:row]))
            self._end_row_group(level_of(ids[row]))
            first = row
        self._wait(rows.slice(first), sum(sizes[first:]))

    def _end_row_group(self, level: int) -> None:
        """Ends the row group; a file, too, if the boundary is one of its level."""
        self._write_row_groups()
        chosen = self.row_group_bytes << level >= self.part_bytes and is_full(self._in_part, self.part_bytes)
        if chosen or is_too_long(self._in_part, self.part_bytes):
            self._close_part()


def _row_bytes(rows: pa.RecordBatch) -> list[int]:
    """The bytes of the strings of each row."""
    sizes = pa.array([0] * rows.num_rows, pa.int32())
    for column in rows.columns:
        if pa.types.is_string(column.type):
            sizes = pc.add(sizes, pc.fill_null(pc.binary_length(column), 0))
    return list(sizes.to_pylist())


def part_files(folder: Path) -> list[Path]:
    """The parts of a dataset, in order."""
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise ArtifactError(f"{folder}: no part-*.parquet found; run `corpusflow verify` to see what is damaged")
    return parts


def read_batches(folder: Path, columns: Sequence[str] | None = None, rows: int = 1024) -> Iterator[pa.RecordBatch]:
    """The rows of a dataset in order, at most `rows` at a time.

    Without Arrow's threads, each of which would keep tens of MiB, and without reading ahead, which is for remote files.
    """
    names = None if columns is None else list(columns)
    for path in part_files(folder):
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size=rows, columns=names, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, error) from error


class RowGroup(NamedTuple):
    """The position of a row group: its file, and its number in the file."""

    path: Path
    number: int


def read_row_groups(folder: Path, columns: Sequence[str]) -> Iterator[tuple[RowGroup, pa.Table]]:
    """Some columns of a dataset in order, row group by row group, each with its position."""
    for path in part_files(folder):
        try:
            with pq.ParquetFile(path) as file:
                for number in range(file.num_row_groups):
                    yield RowGroup(path, number), file.read_row_group(number, list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, error) from error


def read_some_row_groups(
    groups: Sequence[RowGroup], columns: Sequence[str], footer: pq.FileMetaData | None = None
) -> pa.Table:
    """Some columns of row groups of one file; `footer` is that of the file."""
    path = groups[0].path
    try:
        with pq.ParquetFile(path, metadata=footer) as file:
            return file.read_row_groups([group.number for group in groups], list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def read_table(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole dataset in memory: for the small ones, or a few columns of a large one."""
    return pa.Table.from_batches(list(read_batches(folder, columns)), schema=read_schema(folder, columns))


def read_schema(folder: Path, columns: Sequence[str] | None = None) -> pa.Schema:
    """The schema of a dataset (of its first part), or of some columns of it, in that order."""
    path = part_files(folder)[0]
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    if columns is None:
        return schema
    return pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)


def compare_schema(path: Path, schema: pa.Schema) -> list[tuple[str, str, str]]:
    """Name, type in `schema` and type in the Parquet file of each column; "missing" if one of them lacks it."""
    try:
        written = {field.name: str(field.type) for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    expected = {field.name: str(field.type) for field in schema}
    return [(name, expected.get(name, "missing"), written.get(name, "missing")) for name in expected | written]


def unreadable(path: Path, error: Exception) -> ArtifactError:
    """The error of a file that cannot be read as Parquet. Raises the one that it was if memory ran out."""
    if lacks_memory(error):
        raise error
    return ArtifactError(f"{path}: not readable as Parquet ({one_line(error)}); delete its folder and run again")
