"""An artifact's tables for people: columns, counts of labels, lengths, rows spread over the whole table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.shared.ui.preview import COUNTED, count_values, datasets, rows_of
from tasks.site.reading.glossary import meaning
from tasks.site.reading.tokens import read_tokens

ROWS, ROW_GROUPS = 200, 8
"""Rows shown of a table, and the row groups that they are taken from, spread over it."""
COLUMNS_SHOWN, COLUMNS_LISTED, CHOICES = 9, 40, 40
FIRST = ("doc_id", "label", "split", "reason", "detail", "text")
"""Columns that are shown before the others."""


@dataclass(frozen=True)
class Column:
    """A column: its type, and what it means."""

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True)
class Lengths:
    """The lengths of a table's texts, in characters or tokens, shortest first."""

    unit: str
    values: Sequence[int]

    @property
    def median(self) -> int:
        """The length in the middle; the longer one of two."""
        return self.values[len(self.values) // 2]

    @property
    def longest(self) -> int:
        """The largest length."""
        return self.values[-1]


@dataclass(frozen=True)
class Table:
    """One table of an artifact."""

    name: str
    stage: str
    path: Path
    rows: int
    columns: Sequence[Column]
    more_columns: int
    counts: Mapping[str, Mapping[str, int]]
    lengths: Lengths | None
    shown: Sequence[str]
    """Names of the columns whose values are shown: the first ones, if any row of the sample has a value."""
    sample: Sequence[Mapping[str, Any]]
    sampled: int
    """Rows that lengths and sample were taken from."""
    choices: Mapping[str, Sequence[str]]
    """Values to filter the sample by, for some columns."""


def read_tables(stage: str, path: Path, vocabulary: Path | None) -> list[Table]:
    """The tables of an artifact; token ids are spelled with a table of tokens if there is one."""
    return [_read(stage, path, name, files, vocabulary) for name, files in datasets(path)]


def _read(stage: str, path: Path, name: str, files: Sequence[Path], vocabulary: Path | None) -> Table:
    schema = pq.read_schema(files[0])
    rows = rows_of(files)
    wanted = [field.name for field in schema][:COLUMNS_SHOWN]
    lengths_of = next((c for c in ("text", "token_ids") if c in wanted and stage != "vocabulary"), None)
    spread = _spread(files, wanted)
    sample = _pick(spread, ROWS)
    if "token_ids" in wanted and vocabulary is not None:
        tokens = read_tokens(vocabulary)
        sample = [{**row, "token_ids": tokens.spell(row["token_ids"])} for row in sample]
    counts = {k: v for k, v in count_values(files).items() if v} if rows else {}
    return Table(
        name=name,
        stage=stage,
        path=path / name,
        rows=rows,
        columns=[Column(f.name, str(f.type), meaning(stage, name, f.name)) for f in list(schema)[:COLUMNS_LISTED]],
        more_columns=max(0, len(schema) - COLUMNS_LISTED),
        counts=counts,
        lengths=_lengths(spread, lengths_of) if lengths_of else None,
        shown=_in_order([column for column in wanted if spread[column].null_count < spread.num_rows]),
        sample=sample,
        sampled=spread.num_rows,
        choices=_choices(sample),
    )


def _in_order(columns: Sequence[str]) -> list[str]:
    """What people look for first, then the rest as it is."""
    return [name for name in FIRST if name in columns] + [name for name in columns if name not in FIRST]


def _spread(files: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """Row groups spread evenly over a table, with some of its columns."""
    places = [(file, i) for file in files for i in range(pq.read_metadata(file).num_row_groups)]
    step = max(1, len(places) / ROW_GROUPS)
    chosen = [places[int(i * step)] for i in range(min(len(places), ROW_GROUPS))]
    parts = []
    for path, number in chosen:
        with pq.ParquetFile(path) as file:
            parts.append(file.read_row_group(number, columns=list(columns), use_threads=False))
    return pa.concat_tables(parts) if parts else pq.read_schema(files[0]).empty_table().select(list(columns))


def _pick(table: pa.Table, rows: int) -> list[dict[str, Any]]:
    count = min(rows, table.num_rows)
    places = pa.array((i * table.num_rows // count for i in range(count)), pa.int64())
    picked: list[dict[str, Any]] = table.take(places).to_pylist()
    return picked


def _choices(sample: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    found = {}
    for name in COUNTED:
        values = sorted({str(row[name]) for row in sample if row.get(name) is not None})
        if 1 < len(values) <= CHOICES:
            found[name] = values
    return found


def _lengths(table: pa.Table, column: str) -> Lengths | None:
    """The lengths of texts in characters, or of lists of tokens; None if the column has no value."""
    values = table[column]
    of_tokens = pa.types.is_list(values.type)
    lengths = pc.list_value_length(values) if of_tokens else pc.utf8_length(values)
    found = sorted(lengths.drop_null().to_pylist())
    return Lengths("tokens" if of_tokens else "characters", found) if found else None


def rows_with(
    files: Sequence[Path], column: str, values: Sequence[Any], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """The first 200 rows in which a column has one of the values; row groups that cannot have them are not read."""
    import pyarrow.dataset as ds

    table = ds.dataset([str(file) for file in files]).to_table(
        columns=list(columns), filter=ds.field(column).isin(list(values))
    )
    rows: list[dict[str, Any]] = table.slice(0, ROWS).to_pylist()
    return rows
