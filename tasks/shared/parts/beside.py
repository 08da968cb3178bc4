"""Small tables beside the parts of a dataset, one for each: what a stage has decided about the rows of the part.

All lie in one file of Arrow batches, of which a worker maps one into memory. Each has a digest, so that a part that is
kept for later runs can depend on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from tasks.shared.parts.part import Part


@dataclass(frozen=True)
class Beside:
    """The tables that a `BesideWriter` has written."""

    path: Path
    schema: pa.Schema
    batches: dict[int, int]
    """The place in the file of each part's table, by the number of the part; a table without rows has none."""
    digests: dict[int, str]

    def digest(self, part: Part) -> str:
        """sha256 of the table of a part; empty if it has no rows."""
        return self.digests.get(part.number, "")

    def place(self, part: Part) -> Place:
        """Where the table of a part lies: what a worker needs to read it."""
        return Place(self.path, self.schema, self.batches.get(part.number))


@dataclass(frozen=True)
class Place:
    """Where a table lies."""

    path: Path
    schema: pa.Schema
    batch: int | None

    def read(self) -> pa.RecordBatch:
        """The table."""
        if self.batch is None:
            return pa.RecordBatch.from_pylist([], schema=self.schema)
        with pa.memory_map(str(self.path)) as file:
            return pa.ipc.open_file(file).get_batch(self.batch)


class BesideWriter:
    """Writes a table for each part; `written` says afterwards where they are."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.written = Beside(path, schema, {}, {})
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pa.ipc.new_file(path, schema)

    def write(self, part: Part, columns: Sequence[Sequence[Any]]) -> None:
        """Adds the table of a part: the values of each column, or no columns if there are no rows."""
        if not columns or not columns[0]:
            return
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self.written.schema, strict=True)]
        rows = pa.RecordBatch.from_arrays(arrays, schema=self.written.schema)
        self.written.batches[part.number] = len(self.written.batches)
        self.written.digests[part.number] = hashlib.sha256(rows.serialize()).hexdigest()
        self._file.write_batch(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
