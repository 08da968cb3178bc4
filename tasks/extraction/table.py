"""Texts from a table: Parquet, CSV or JSON Lines, or a folder of Parquet parts.

Read a batch at a time; CSV and JSON Lines are UTF-8. Rows are counted from 1, without a CSV's header.

Without a doc_id column a document is named by a hash of its text, and `-000002`, … is added to that for further
rows with the same text. Such a name stays the same when rows are added, removed or put in another order, or a
label is corrected; a row's number would not, and the document would change its part of the split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.extraction.ordering import in_order
from tasks.extraction.rows import Columns, read_csv, read_json_lines, read_parquet
from tasks.extraction.schema import Document
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
            f"{path}: unknown kind of table; extraction.table.path takes {', '.join(_READERS)}, or a folder"
        )
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; set extraction.table.path to a table")
    return [path]


def documents(path: Path, columns: Columns) -> Iterator[Document]:
    """The rows as documents, sorted by id. Raises CorpusError with file and row for whatever cannot be read."""
    found = rows(path, columns)
    if columns.doc_id:
        return in_order(found)
    return _numbered(in_order(row._replace(doc_id=_hash(row.text)) for row in found))


def rows(path: Path, columns: Columns) -> Iterator[Document]:
    """The rows as they come, the doc_id empty where no column has it."""
    for file in table_files(path):
        yield from _READERS[file.suffix.lower()](file, columns)


def digest(path: Path) -> str:
    """sha256 over the names and the contents of the files."""
    return digest_files((file.name, file) for file in table_files(path))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _numbered(ordered: Iterable[Document]) -> Iterator[Document]:
    """Tells repetitions of a text apart; six digits keep the order of the ids that of their strings."""
    previous, repetitions = "", 1
    for document in ordered:
        repetitions = repetitions + 1 if document.doc_id == previous else 1
        previous = document.doc_id
        yield document if repetitions == 1 else document._replace(doc_id=f"{previous}-{repetitions:06d}")
