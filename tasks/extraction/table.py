"""Texts from a table: Parquet, CSV or JSON Lines, or a folder of Parquet parts.

Tables are read a batch at a time; CSV and JSON Lines must be UTF-8. Rows are counted from 1, without a CSV's header.

Without a doc_id column, a document's id is a hash of its text, followed by `-000002`, … for further rows with the same
text. Such an id stays the same when rows are added, removed or reordered, or a label is corrected. A row number would
change, and the document could move to another split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.extraction.document import Document
from tasks.extraction.ordering import sort_by_id
from tasks.extraction.rows import Columns, read_csv, read_json_lines, read_parquet
from tasks.extraction.text_files import digest_files
from tasks.shared.errors import CorpusError

_READERS = {".parquet": read_parquet, ".csv": read_csv, ".jsonl": read_json_lines, ".ndjson": read_json_lines}


def table_files(path: Path) -> list[Path]:
    """The file, or the Parquet parts of the folder in the order of their names."""
    if path.is_dir():
        files = sorted(file for file in path.glob("*.parquet") if not file.name.startswith("."))
        if not files:
            raise CorpusError(f"{path}: no .parquet file in this folder; set extraction.table.path to a table")
        return files
    if path.suffix.lower() not in _READERS:
        raise CorpusError(
            f"{path}: unknown kind of table; set extraction.table.path to a file in {', '.join(_READERS)}, or a folder"
        )
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; set extraction.table.path to a table")
    return [path]


def documents(path: Path, columns: Columns) -> Iterator[Document]:
    """The rows as documents, sorted by id. Raises CorpusError with file and row for anything unreadable."""
    documents = rows(path, columns)
    if columns.doc_id:
        return sort_by_id(documents)
    return _number_repeats(sort_by_id(each._replace(doc_id=_hash(each.text)) for each in documents))


def rows(path: Path, columns: Columns) -> Iterator[Document]:
    """The rows in the order of the files; the doc_id is empty if no column has it."""
    for file in table_files(path):
        yield from _READERS[file.suffix.lower()](file, columns)


def digest(path: Path) -> str:
    """sha256 over the names and the contents of the files."""
    return digest_files((file.name, file) for file in table_files(path))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _number_repeats(ordered: Iterable[Document]) -> Iterator[Document]:
    """Makes the ids of repeated texts distinct; with six digits, ids sort as strings as they do as numbers."""
    previous, repetitions = "", 1
    for document in ordered:
        repetitions = repetitions + 1 if document.doc_id == previous else 1
        previous = document.doc_id
        yield document if repetitions == 1 else document._replace(doc_id=f"{previous}-{repetitions:06d}")
