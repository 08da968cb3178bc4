"""Unlabelled texts: a folder of text files, or a table."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.extraction import table
from tasks.extraction.document import Document
from tasks.extraction.rows import Columns
from tasks.extraction.text_files import digest_files, read_text
from tasks.shared.errors import CorpusError
from tasks.shared.store.fingerprint import digest_of


@dataclass(frozen=True)
class Source:
    """Location and format of the texts: columns apply to a table, the encoding to a folder of files."""

    path: Path
    text_column: str = "text"
    doc_id_column: str | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise CorpusError(f"{self.encoding!r} is not an encoding that Python knows; try utf-8 or cp1252") from None

    @property
    def is_table(self) -> bool:
        """Whether the source is a table: one file, or a folder with Parquet parts."""
        return not self.path.is_dir() or any(self.path.glob("*.parquet"))


def read_texts(source: Source) -> Iterator[Document]:
    """The texts as documents without labels, in a fixed order. Raises CorpusError for an unreadable file or row.

    The doc_id of a file is its path inside the folder; that of a row its doc_id column, or else file and row number.
    """
    if source.is_table:
        columns = Columns(source.text_column, None, source.doc_id_column, setting="{}_column")
        for document in table.rows(source.path, columns):
            yield document._replace(doc_id=document.doc_id or document.source)
    else:
        for doc_id, file in _files(source.path):
            yield Document(doc_id, source=doc_id, text=read_text(file, source.encoding))


def source_digest(source: Source) -> str:
    """sha256 of names and contents, and of the reading options."""
    content = table.digest(source.path) if source.is_table else digest_files(_files(source.path))
    return digest_of([source.text_column, source.doc_id_column, source.encoding, content])


def _files(folder: Path) -> list[tuple[str, Path]]:
    """All files below a folder with their relative paths, sorted; hidden files and folders are skipped."""
    files = []
    for file in folder.rglob("*"):
        inside = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") for part in inside.parts):
            files.append((inside.as_posix(), file))
    if not files:
        raise CorpusError(f"{folder}: no text file found; choose a folder of text files, or a table")
    return sorted(files)
