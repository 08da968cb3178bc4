"""A preview of an artifact's Parquet: its datasets, the counts of labels or reasons, a few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

COUNTED = ("label", "split", "reason", "predicted")
IDS_SHOWN = 20
Decode = Callable[[list[int]], str]


def datasets(path: Path) -> Iterator[tuple[str, list[Path]]]:
    """The parts in one folder are one dataset, and so is a single Parquet file."""
    for folder in sorted({file.parent for file in path.rglob("part-*.parquet")}):
        yield folder.relative_to(path).as_posix(), sorted(folder.glob("part-*.parquet"))
    for file in sorted(path.glob("*.parquet")):
        yield file.name, [file]


def rows_of(files: Sequence[Path]) -> int:
    """Rows of a dataset, from the files' footers."""
    return sum(int(pq.read_metadata(file).num_rows) for file in files)


def count_values(files: Sequence[Path]) -> dict[str, dict[str, int]]:
    """The counts of values in the columns of names (`COUNTED`); reads no other column."""
    columns = [name for name in pq.read_schema(files[0]).names if name in COUNTED]
    table = pa.concat_tables(pq.read_table(file, columns=columns, partitioning=None) for file in files)
    return {name: _counts(table[name]) for name in COUNTED if name in columns}


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counts = {str(entry["values"]): int(entry["counts"]) for entry in pc.value_counts(column).to_pylist()}
    return dict(sorted(counts.items()))


def sample_rows(files: Sequence[Path], rows: int, characters: int, decode: Decode | None) -> list[dict[str, Any]]:
    """The first rows, each value on one line and cut to `characters`."""
    if not rows:
        return []
    with pq.ParquetFile(files[0]) as file:
        head = next(file.iter_batches(batch_size=rows), None)
    first = head.to_pylist() if head is not None else []
    return [{name: _show(value, characters, decode) for name, value in row.items()} for row in first]


def _show(value: Any, characters: int, decode: Decode | None) -> Any:
    if isinstance(value, list):
        value = decode(value[:characters]) if decode else str(value[:IDS_SHOWN])
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, str) and len(value) > characters:
        value = f"{value[:characters]}…"
    return value.replace("\n", "⏎") if isinstance(value, str) else value
