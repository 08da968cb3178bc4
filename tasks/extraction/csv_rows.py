"""Rows of CSV and TSV files; whatever cannot be read as it was meant is an error that names the row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tasks.extraction.csv_quotes import MAX_FIELD_BYTES, QuoteChecker, QuoteError
from tasks.extraction.rows import Columns, TableFile, TextFormat, document_batch, require_columns
from tasks.extraction.text_stream import open_utf8, require_utf8
from tasks.shared.errors import CorpusError, lacks_memory, one_line
from tasks.shared.progress import logger

BLOCK_BYTES = MAX_FIELD_BYTES
"""A CSV is read in blocks of whole rows, of at most this size. A longer row lies in several; in three is an error."""
WARNED_ROWS = 3
TAB = "\t"
SEPARATORS = {",": "commas", ";": "semicolons", TAB: "tabs", "|": "vertical bars"}


@dataclass(frozen=True)
class _Table:
    file: TableFile
    columns: Columns
    encoding: str
    separator: str

    @contextmanager
    def stream(self) -> Iterator[IO[bytes]]:
        with open_utf8(self.file.path, self.encoding, self.columns.advice("encoding")) as stream:
            yield stream


def read_csv(file: TableFile, columns: Columns, text_format: TextFormat) -> Iterator[pa.RecordBatch]:
    """Rows of a CSV with a header. Values stay as written (`01`); quoted ones may have line breaks."""
    separator = text_format.separator or (TAB if ".tsv" in file.path.suffixes[-2:] else ",")
    table = _Table(file, columns, text_format.encoding, separator)
    header = _header(table)
    done, labels = 0, set[str]()
    with table.stream() as stream:
        label = None if columns.label is None else header.index(columns.label)
        checker = QuoteChecker(stream, separator, len(header), label)
        try:
            with _open(checker, table) as reader:
                for batch in reader:
                    yield document_batch(batch, columns, file, done)
                    done += batch.num_rows
                    if columns.label is not None:
                        labels.update(pc.unique(batch[columns.label]).to_pylist())
        except (pa.ArrowException, QuoteError) as error:
            if lacks_memory(error):
                raise
            raise _explained(error, table, len(header), done) from error
    if swallowed := {name for name in checker.suspects if label is None or name in labels}:
        _warn(table, len(header), label, swallowed)


def _open(checker: QuoteChecker, table: _Table) -> pyarrow.csv.CSVStreamingReader:
    names = table.columns.names
    return pyarrow.csv.open_csv(
        checker,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, delimiter=table.separator),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=names, column_types=dict.fromkeys(names, pa.string())
        ),
    )


def _header(table: _Table) -> list[str]:
    """The names of the columns. Raises CorpusError if one is missing, and says so if another separator is likely."""
    try:
        with table.stream() as stream, io.TextIOWrapper(stream, "utf-8", newline="") as text:
            line = text.readline(MAX_FIELD_BYTES)
            rest = "" if line.count('"') % 2 == 0 else text.read(2**20)  # a name with line breaks
    except UnicodeDecodeError:
        require_utf8(table.file.path, table.columns.advice("encoding"))
        raise

    try:
        header = _split(line + rest, table.separator)
    except csv.Error as error:
        raise CorpusError(f"{table.file.path}: the header's quotes do not close ({error}); correct them") from error
    if set(table.columns.names) - set(header):
        _recognise_separator(line + rest, header, table)
    require_columns(table.columns, header, table.file.path)
    return header


def _split(text: str, separator: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), [])


def _recognise_separator(text: str, header: list[str], table: _Table) -> None:
    """Raises CorpusError if another separator gives the wanted columns, or several columns instead of one."""
    if text.startswith("sep=") and len(text.splitlines()[0]) == len("sep=") + 1:
        first = repr(text.splitlines()[0])
        raise CorpusError(f"{table.file.path}: the first line is {first}, which is for Excel alone; remove it")
    for separator, name in SEPARATORS.items():
        try:
            found = _split(text, separator)
        except csv.Error:
            continue
        if set(table.columns.names) <= set(found) or len(found) > len(header) == 1:
            raise CorpusError(
                f"{table.file.path}: its columns are separated by {name}, "
                f"not {SEPARATORS.get(table.separator, repr(table.separator))}; "
                f"set {table.columns.advice('separator')} to {'tab' if separator == TAB else repr(separator)}"
            )


def _explained(error: Exception, table: _Table, columns: int, done: int) -> CorpusError:
    """The error with the row that it is about, which a second, slower reading finds."""
    path, advice = table.file.path, 'write a quote inside a text as "", and the whole text in quotes'
    if "invalid UTF8" in str(error):
        require_utf8(path, table.columns.advice("encoding"))
    row, problem = _first_bad_row(table, columns)
    place = f"{path}: row {row}" if row else f"{path}: after row {done:,}"
    if isinstance(error, QuoteError):
        longer = ", or, if the text is that long, give the table as Parquet" * error.too_long
        return CorpusError(f"{place}: {error.problem}: {error.excerpt}; {advice}{longer}")
    if problem:
        return CorpusError(f"{place}: {problem}; {advice}")
    if "straddles two block boundaries" in str(error):
        return CorpusError(
            f"{path}: a row after row {done:,} is longer than {BLOCK_BYTES:,} bytes, the most that a CSV's reader "
            "holds; shorten it, or give the table as Parquet"
        )
    return CorpusError(f"{place}: malformed CSV ({one_line(error)}); write the file again")


def _first_bad_row(table: _Table, columns: int) -> tuple[int, str]:
    """The first row that is not as wide as the header or has bad quotes, and the problem; 0 and nothing if none is."""
    row = 0
    try:
        for row, fields in enumerate(_rows(table)):
            if row and len(fields) != columns:
                return row, f"{len(fields)} field{'s' * (len(fields) > 1)}, but the header has {columns}"
    except csv.Error as error:
        return row + 1, f"a quoted field does not end as it should ({error})"
    except UnicodeDecodeError:
        require_utf8(table.file.path, table.columns.advice("encoding"))
    return 0, ""


def _rows(table: _Table) -> Iterator[list[str]]:
    """The rows by the standard library's parser: the header is row 0, and blank lines do not count."""
    before = csv.field_size_limit(MAX_FIELD_BYTES)
    try:
        with table.stream() as stream, io.TextIOWrapper(stream, "utf-8", newline="") as text:
            for row in csv.reader(text, delimiter=table.separator, strict=True):
                if row:
                    yield row
    finally:
        csv.field_size_limit(before)


def _warn(table: _Table, columns: int, label: int | None, swallowed: set[str]) -> None:
    """Names the rows with a field that holds what look like whole rows."""
    found = []
    for number, row in enumerate(_rows(table)):
        lines = [line.split(table.separator) for field in row if "\n" in field for line in field.split("\n")[1:]]
        rows = [line for line in lines if len(line) == columns and (label is None or line[label].strip() in swallowed)]
        if number and rows and (label is not None or len(rows) > 1):
            found.append((number, len(rows)))
    for number, rows_inside in found[:WARNED_ROWS]:
        logger("extraction").warning(
            "%s: row %d: a field has %d line(s) that look like rows of this table; is a quote missing?",
            *(table.file.path, number, rows_inside),
        )
    if len(found) > WARNED_ROWS:
        logger("extraction").warning("%s: so do %d more rows", table.file.path, len(found) - WARNED_ROWS)
