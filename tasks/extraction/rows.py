"""Rows of tables as documents, with errors that name the file and the row."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tasks.extraction.document import Document
from tasks.extraction.text_files import unreadable
from tasks.shared.errors import CorpusError, one_line

BATCH_ROWS = 256
CSV_BLOCK_BYTES = 32 * 2**20
"""A CSV is read in blocks of this size; a longer row is an error."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read."""

    text: str
    label: str | None
    doc_id: str | None = None
    setting: str = "extraction.table.{}_column"
    """The setting that names a column, for messages."""

    @property
    def names(self) -> list[str]:
        """The names in the order of a document's fields, without a doc_id or label that is None."""
        return [name for name in (self.doc_id, self.label, self.text) if name is not None]


def read_parquet(file: Path, columns: Columns) -> Iterator[Document]:
    """Rows of a Parquet file, read in batches; the doc_id is empty if no column has it."""
    done = 0
    try:
        with pq.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            _require(columns, schema.names, file)
            for name in columns.names:
                _require_type(schema.field(name).type, name, columns, file)
            for batch in opened.iter_batches(batch_size=BATCH_ROWS, columns=columns.names):
                yield from _documents(batch, columns, file, done)
                done += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{file}: not readable as Parquet after row {done} ({one_line(error)})") from error


def read_csv(file: Path, columns: Columns) -> Iterator[Document]:
    """Rows of a UTF-8 CSV with a header. Values stay as written (`01`); quoted ones may have line breaks."""
    done = 0
    try:
        _require(columns, _csv_header(file), file)
        with pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=CSV_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns.names, column_types=dict.fromkeys(columns.names, pa.string())
            ),
        ) as reader:
            for batch in reader:
                yield from _documents(batch, columns, file, done)
                done += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        _require_utf8(file)
        raise CorpusError(f"{file}: malformed CSV after row {done} ({one_line(error)})") from error


def read_json_lines(file: Path, columns: Columns) -> Iterator[Document]:
    """Rows of a UTF-8 JSON Lines file: one object per line; blank lines are skipped.

    Parsed with the standard library, because pyarrow's errors do not name the line.
    """
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                place = f"{file}: line {number}"
                try:
                    fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")) if line.strip() else None
                except UnicodeDecodeError:
                    _require_utf8(file)
                    raise
                except (ValueError, RecursionError) as error:
                    raise CorpusError(f"{place} is not JSON ({error}); write one object per line") from error
                if fields is None and not line.strip():
                    continue
                if not isinstance(fields, dict):
                    raise CorpusError(f"{place} is not a JSON object, but {_excerpt(line)}; write one object per line")
                _require(columns, list(fields), place)
                values = [_json_string(fields[name], name, columns, place) for name in columns.names]
                yield _document(values, columns, f"{file.name} line {number}")
    except OSError as error:
        raise unreadable(file, error) from error


def _documents(batch: pa.RecordBatch, columns: Columns, file: Path, done: int) -> Iterator[Document]:
    arrays = [batch.column(name) for name in columns.names]
    for name, array in zip(columns.names, arrays, strict=True):
        if array.null_count:
            row = done + 1 + array.is_null().to_pylist().index(True)
            raise CorpusError(f"{file}: row {row} has no value in column {name!r}; fill it in or remove the row")
    strings = [array.cast(pa.string()).to_pylist() for array in arrays]
    for number, values in enumerate(zip(*strings, strict=True), done + 1):
        yield _document(values, columns, f"{file.name} row {number}")


def _document(values: Sequence[str], columns: Columns, source: str) -> Document:
    remaining = iter(values)
    doc_id, label = (next(remaining) if name is not None else "" for name in (columns.doc_id, columns.label))
    return Document(doc_id, label, source, text=next(remaining))


def _require(columns: Columns, given: Sequence[str], place: object) -> None:
    for name in columns.names:
        if name not in given:
            setting = next(key for key in ("text", "label", "doc_id") if getattr(columns, key) == name)
            raise CorpusError(
                f"{place}: no column {name!r}, only {', '.join(given) or 'none'}; set {columns.setting.format(setting)}"
            )
        if given.count(name) > 1:
            raise CorpusError(f"{place}: more than one column {name!r}; rename one")


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
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise CorpusError(f"{place} has half a surrogate pair in {name!r}, which is not a character; correct it")
    return value


def _csv_header(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return next(csv.reader(opened), [])


def _require_utf8(file: Path) -> None:
    """Raises CorpusError with the offset of the first byte that is not UTF-8."""
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    with file.open("rb") as opened:
        while True:
            block = opened.read(2**20)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = offset - pending + error.start
                raise CorpusError(f"{file}: not UTF-8 at byte {at}; save it as UTF-8") from error
            if not block:
                return
            offset += len(block)


def _excerpt(line: bytes) -> str:
    return repr(line.decode("utf-8").strip()[:40])
