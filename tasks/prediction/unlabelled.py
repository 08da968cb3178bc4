"""Unlabelled texts: a folder of text files, or a table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tasks.extraction import table
from tasks.extraction.document import Document
from tasks.extraction.rows import Columns, TextFormat
from tasks.extraction.settings import known_encoding, known_separator
from tasks.extraction.text_files import (
    digest_files,
    is_system_file,
    read_text,
    require_utf8_name,
    unreadable,
    warn_of,
    warn_of_tables,
    what_it_is,
)
from tasks.shared.errors import CorpusError
from tasks.shared.store.fingerprint import digest_of

_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""How a URL begins, of which `Path` leaves one slash."""
CHOOSE = "name"
"""How a message asks for another source."""


@dataclass(frozen=True)
class Source:
    """Location and format of the texts: columns and separator apply to a table."""

    path: Path
    text_column: str = "text"
    doc_id_column: str | None = None
    encoding: str = "utf-8"
    separator: str | None = None

    def __post_init__(self) -> None:
        if _URL.match(str(self.path)):
            raise CorpusError(f"{self.path}: URLs are not read here; download the texts first")
        if self.text_column == self.doc_id_column:
            raise CorpusError(f"--text-column and --doc-id-column are both {self.text_column!r}; they must differ")
        try:
            object.__setattr__(self, "encoding", known_encoding(self.encoding))
            if self.separator is not None:
                object.__setattr__(self, "separator", known_separator(self.separator))
        except ValueError as error:
            raise CorpusError(str(error)) from None

    @property
    def is_table(self) -> bool:
        """Whether the source is a table: one file, or a folder with Parquet parts."""
        return what_it_is(self.path) != "a folder" or any(self.path.rglob("*.parquet"))


def read_texts(source: Source) -> Iterator[Document]:
    """The texts as documents without labels, in a fixed order.

    The doc_id of a file is its path inside the folder; that of a row its doc_id column, or else file and row number.
    Raises CorpusError for an unreadable file or row, and for a doc_id that is empty or occurs twice; a table is read
    twice, so that it is refused before its first text is yielded.
    """
    if source.is_table:
        for _ in _distinct(_rows(source), source):
            pass
        yield from _rows(source)
    else:
        files, left_out = _files(source.path)
        warn_of("predict", "left out {} file(s) of systems and editors", left_out)
        warn_of_tables("predict", files)
        for doc_id, file in files:
            yield Document(doc_id, source=doc_id, text=read_text(file, source.encoding, "--encoding"))


def source_digest(source: Source) -> str:
    """sha256 of names and contents, and of the reading options."""
    content = table.digest(source.path, CHOOSE) if source.is_table else digest_files(_files(source.path)[0])
    return digest_of([source.text_column, source.doc_id_column, source.encoding, source.separator, content])


def _rows(source: Source) -> Iterator[Document]:
    columns = Columns(source.text_column, None, source.doc_id_column, setting="--{}", choose=CHOOSE)
    for document in table.rows(source.path, columns, TextFormat(source.encoding, source.separator)):
        yield document._replace(doc_id=document.source) if source.doc_id_column is None else document


def _distinct(rows: Iterator[Document], source: Source) -> Iterator[Document]:
    """The rows, as long as their ids are there and differ; ids of a column stay in memory."""
    if source.doc_id_column is None:
        yield from rows
        return
    seen: dict[str, str] = {}
    for document in rows:
        if not document.doc_id.strip():
            raise CorpusError(f"{document.source}: the doc_id is empty; give every text one, or omit --doc-id-column")
        if (first := seen.setdefault(document.doc_id, document.source)) != document.source:
            raise CorpusError(
                f"doc_id {document.doc_id!r} occurs twice, in {first} and in {document.source}; give each text its "
                f"own, or choose another column than {source.doc_id_column!r} with --doc-id-column"
            )
        yield document


def _files(folder: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    """All files below a folder with their relative paths, sorted, and the names of those left out.

    Hidden files and folders are skipped, and what systems and editors leave behind. Raises CorpusError for a folder
    that cannot be read, and for what is neither a file nor a folder.
    """
    files, left_out = [], []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        here = Path(place)
        for name in (*folders, *names):
            path = here / name
            inside = path.relative_to(folder).as_posix()
            if name.startswith("."):
                continue
            if is_system_file(name):
                left_out.append(inside)
            elif name in names or path.is_symlink():
                files.append((inside, _require_text_file(path)))
        folders[:] = [name for name in folders if not name.startswith(".") and not is_system_file(name)]
    if not files:
        raise CorpusError(f"{folder}: no text file found; choose a folder of text files, or a table")
    return sorted(files), left_out


def _refuse(error: OSError) -> NoReturn:
    raise unreadable(Path(error.filename), error) from error


def _require_text_file(path: Path) -> Path:
    """The path. Raises CorpusError unless it is a file, or a link to one, with a name in UTF-8."""
    require_utf8_name(path.name, path.parent)
    kind = what_it_is(path)
    if kind != "a file":
        linked = "a link to a folder" if kind == "a folder" else kind or "a broken link"
        raise CorpusError(f"{path}: {linked}, not a text file; remove it, or put texts in its place")
    return path
