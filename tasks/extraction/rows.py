"""Rows of tables as rows of documents, with errors that name the file and the row.

Columns are checked as a whole; only in a batch with something wrong are the rows looked at one by one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.extraction.document import Document, document_rows, in_batches, text_bytes
from tasks.extraction.schema import DOCUMENTS, SPLITS
from tasks.extraction.text_stream import open_utf8, require_utf8
from tasks.shared.errors import CorpusError, lacks_memory, one_line

BATCH_ROWS = 256
MOST_NAMES = 20
"""Columns that a message lists."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read."""

    text: str
    label: str | None
    doc_id: str | None = None
    setting: str = "extraction.table.{}"
    """The settings that describe the table, for messages; or the command's options, `--{}`."""
    choose: str = "set extraction.table.path to"
    """How another table is chosen, for messages."""
    split: str | None = None

    @property
    def names(self) -> list[str]:
        """The names in the order of doc_id, label, text and split, without those that are None."""
        return [name for name in (self.doc_id, self.label, self.text, self.split) if name is not None]

    def advice(self, key: str) -> str:
        """The setting or the option with this key, as a message names it."""
        named = self.setting.format(key)
        return named.replace("_", "-") if named.startswith("--") else named


@dataclass(frozen=True)
class TextFormat:
    """How CSV and JSON Lines are written. A separator of None is a comma; in files named .tsv, a tab."""

    encoding: str = "utf-8"
    separator: str | None = None


@dataclass(frozen=True)
class TableFile:
    """One file of a table."""

    path: Path
    name: str
    """The path inside the table's folder, or the file's name."""
    constants: Mapping[str, str | None] = field(default_factory=dict)
    """Columns whose value is the same in the whole file: those that Hive's folders `KEY=VALUE` name."""


def read_parquet(file: TableFile, columns: Columns, _: TextFormat) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file, read in batches; the doc_id is empty if no column has it."""
    done = 0
    try:
        with pq.ParquetFile(file.path) as opened:
            schema = opened.schema_arrow
            others = [name for name in schema.names if name not in file.constants]
            require_columns(columns, [*others, *file.constants], file.path)
            stored = [name for name in columns.names if name not in file.constants]
            for name in stored:
                _require_type(schema.field(name).type, name, columns, file.path)
            for batch in opened.iter_batches(batch_size=BATCH_ROWS, columns=stored, use_threads=False):
                yield document_batch(batch, columns, file, done)
                done += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        if lacks_memory(error):
            raise
        raise CorpusError(f"{file.path}: not readable as Parquet after row {done} ({one_line(error)})") from error


def read_json_lines(file: TableFile, columns: Columns, text_format: TextFormat) -> Iterator[pa.RecordBatch]:
    """Rows of a JSON Lines file: one object per line; blank lines are skipped.

    Parsed with the standard library, because pyarrow's errors do not name the line.
    """
    for documents in in_batches(_json_documents(file, columns, text_format)):
        yield document_rows(documents, DOCUMENTS)


def _json_documents(file: TableFile, columns: Columns, text_format: TextFormat) -> Iterator[Document]:
    complete = False  # whether a line had all columns, so that the settings name them correctly
    with open_utf8(file.path, text_format.encoding, columns.advice("encoding")) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{file.path}: line {number}"
            fields = _json_object(line, place, file, columns)
            for name in columns.names if complete else ():
                if name not in fields:
                    raise CorpusError(f"{place} has no key {name!r}, only {listed(fields)}; add it or remove the line")
            require_columns(columns, list(fields), place)
            complete = True
            values = [_json_string(fields[name], name, columns, place) for name in columns.names]
            yield _document(values, columns, f"{file.name} line {number}", place)


def _json_object(line: bytes, place: str, file: TableFile, columns: Columns) -> dict[str, Any]:
    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in columns.names:
            if names.count(name) > 1:
                raise ValueError(f"it has {name!r} twice")
        return dict(pairs)

    try:
        fields = json.loads(line.decode(), object_pairs_hook=without_repeats)
    except UnicodeDecodeError:
        require_utf8(file.path, columns.advice("encoding"))
        raise
    except json.JSONDecodeError as error:
        problem = f"{error.msg}, character {error.pos + 1}"
        if line.lstrip().startswith(b"["):
            problem = "the beginning of an array"
        raise CorpusError(f"{place} is not JSON ({problem}); write one object per line") from error
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{place} is not JSON ({error}); write one object per line") from error
    if not isinstance(fields, dict):
        raise CorpusError(f"{place} is not a JSON object, but {_excerpt(line)}; write one object per line")
    return fields


def document_batch(batch: pa.RecordBatch, columns: Columns, file: TableFile, done: int) -> pa.RecordBatch:
    """The rows of a batch as rows of documents; `done` rows of the file came before it."""
    found = {name: _strings(batch, name, file, done) for name in columns.names}
    splits = None if columns.split is None else found[columns.split]
    read = [found[name] for name in (columns.doc_id, columns.label, columns.text) if name is not None]
    if any(_has_nul(array) for array in read) or not _all_known(splits):
        for row, values in enumerate(zip(*(found[name].to_pylist() for name in columns.names), strict=True), done + 1):
            _document(values, columns, "", f"{file.path}: row {row}")
    numbers = pa.array(range(done + 1, done + 1 + batch.num_rows)).cast(pa.string())
    unknown = pa.repeat("", batch.num_rows)
    arrays = [
        unknown if columns.doc_id is None else found[columns.doc_id],
        unknown if columns.label is None else found[columns.label],
        pc.binary_join_element_wise(f"{file.name} row", numbers, " "),
        found[columns.text],
        pa.nulls(batch.num_rows, pa.string()) if splits is None else splits,
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=DOCUMENTS)


def _strings(batch: pa.RecordBatch, name: str, file: TableFile, done: int) -> pa.StringArray:
    """A column as strings. Raises CorpusError for a row without a value, or with one that is not UTF-8."""
    array = _constant(file, name, batch) if name in file.constants else batch.column(name).cast(pa.string())
    if array.null_count:
        row = done + 1 + array.is_null().index(True).as_py()
        raise CorpusError(f"{file.path}: row {row} has no value in column {name!r}; fill it in or remove the row")
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        row = done + 1 + _first_not_utf8(array)
        raise CorpusError(f"{file.path}: row {row} is not UTF-8 in column {name!r}; write the file again") from None
    return array


def _has_nul(array: pa.StringArray) -> bool:
    content, _ = text_bytes(array)
    return len(content) > 0 and np.frombuffer(content, np.uint8).min() == 0


def _first_not_utf8(array: pa.StringArray) -> int:
    for row, value in enumerate(array.cast(pa.binary()).to_pylist()):
        try:
            value.decode()
        except UnicodeDecodeError:
            return row
    raise AssertionError("all values are UTF-8")


def _all_known(splits: pa.StringArray | None) -> bool:
    return splits is None or bool(pc.all(pc.is_in(splits, pa.array(SPLITS))).as_py())


def _constant(file: TableFile, name: str, batch: pa.RecordBatch) -> pa.Array:
    return pa.array([file.constants[name]] * batch.num_rows, pa.string())


def _document(values: Sequence[str], columns: Columns, source: str, place: str) -> Document:
    """The values of `columns.names` as a document.

    Raises CorpusError for NUL in a doc_id, a label or a text, as in files, and for a split that is not one.
    """
    remaining = iter(values)
    doc_id, label = (next(remaining) if name is not None else "" for name in (columns.doc_id, columns.label))
    text, split = next(remaining), next(remaining, None)
    for name, value in ((columns.doc_id, doc_id), (columns.label, label), (columns.text, text)):
        if "\0" in value:
            around = value[max(0, value.index("\0") - 20) :][:40]
            raise CorpusError(f"{place} has NUL in {name!r} ({around!r}), which no text has; correct it")
    if split is not None and split not in SPLITS:
        raise CorpusError(
            f"{place} has {split[:40]!r} in {columns.split!r}, not {', '.join(SPLITS)}; correct it, or set "
            f"{columns.advice('split_column')} to another column or to null"
        )
    return Document(doc_id, label, source, text, given_split=split)


def require_columns(columns: Columns, given: Sequence[str], place: object) -> None:
    """Raises CorpusError if a column is missing, or there twice."""
    if not given:
        raise CorpusError(f"{place}: nothing is in it; a table begins with the names of its columns")
    for name in columns.names:
        if name not in given:
            setting = next(key for key in ("text", "label", "doc_id", "split") if getattr(columns, key) == name)
            alike = next((f" to {other!r}" for other in given if _bare(other) == name.casefold()), "")
            raise CorpusError(
                f"{place}: no column {name!r}, only {listed(given)}; set {columns.advice(f'{setting}_column')}{alike}"
            )
        if given.count(name) > 1:
            raise CorpusError(f"{place}: more than one column {name!r}; rename one")


def _bare(name: str) -> str:
    """A name without what people do not see: capitals, spaces at the ends, byte order marks and other marks."""
    return "".join(sign for sign in name.casefold() if sign.isprintable() or sign.isspace()).strip()


def listed(names: Collection[str]) -> str:
    """Names for a message: the first of them, and how many more there are."""
    shown = ", ".join(
        name if name.isprintable() and name == name.strip() else repr(name) for name in [*names][:MOST_NAMES]
    )
    return (f"{shown} and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else shown) or "none"


def _require_type(column_type: pa.DataType, name: str, columns: Columns, place: object) -> None:
    value = column_type.value_type if pa.types.is_dictionary(column_type) else column_type
    is_text = pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)
    if not is_text and (name == columns.text or not pa.types.is_integer(value)):
        allowed = "strings" if name == columns.text else "strings or whole numbers"
        raise CorpusError(f"{place}: column {name!r} holds {column_type}, not {allowed}; convert it")


def _json_string(value: Any, name: str, columns: Columns, place: str) -> str:
    if value is None:
        raise CorpusError(f"{place} has no value in {name!r}; fill it in or remove the line")
    if isinstance(value, int) and not isinstance(value, bool) and name != columns.text:
        return str(value)
    if not isinstance(value, str):
        allowed = "a string" if name == columns.text else "a string or a whole number"
        raise CorpusError(f"{place} has {type(value).__name__} in {name!r}, not {allowed}; convert it")
    try:
        value.encode()
    except UnicodeEncodeError:
        half = f"{place} has half a surrogate pair in {name!r}, which is not a character; correct it"
        raise CorpusError(half) from None
    return value


def _excerpt(line: bytes) -> str:
    return repr(line.decode("utf-8").strip()[:40])
