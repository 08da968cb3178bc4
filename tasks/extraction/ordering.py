"""Documents in the order of their ids, for a corpus of any size.

An external merge sort: chunks of bounded size are sorted in memory and written to disk, then merged. In memory are one
chunk at most, then a few rows of each. A corpus of a single chunk never touches the disk.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from operator import attrgetter
from pathlib import Path

from tasks.extraction.document import Document, document_rows, in_batches, read_documents
from tasks.extraction.schema import DATASET, DOCUMENTS
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter

CHUNK_CHARACTERS = 64 * 2**20
"""A chunk is closed once its texts have this many characters."""
MERGE_ROWS = 16
"""Rows of each chunk in memory while the chunks are merged."""

_doc_id = attrgetter("doc_id")


def sort_by_id(documents: Iterable[Document], chunk_characters: int = CHUNK_CHARACTERS) -> Iterator[Document]:
    """The documents sorted by doc_id; those of one doc_id stay in the order they came in."""
    with ExitStack() as stack:
        written: list[Path] = []
        chunk: list[Document] = []
        characters = 0
        for document in documents:
            chunk.append(document)
            characters += len(document.text)
            if characters >= chunk_characters:
                if not written:
                    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corpusflow-")))
                written.append(_write_sorted(chunk, scratch / f"chunk-{len(written)}"))
                chunk, characters = [], 0
        chunk.sort(key=_doc_id)
        sorted_chunks = (read_documents(folder, DOCUMENTS.names, rows=MERGE_ROWS) for folder in written)
        yield from heapq.merge(*sorted_chunks, chunk, key=_doc_id)


def validate(documents: Iterable[Document]) -> Iterator[Document]:
    """Passes sorted documents on.

    Raises CorpusError for an empty id or label, an id that occurs twice, and a source without documents.
    """
    previous: Document | None = None
    for document in documents:
        if not document.doc_id.strip() or not document.label.strip():
            empty = "label" if document.doc_id.strip() else "doc_id"
            raise CorpusError(f"{document.source}: the {empty} is empty; give every document one")
        if previous is not None and document.doc_id == previous.doc_id:
            raise CorpusError(
                f"doc_id {document.doc_id!r} occurs twice, in {previous.source} and in {document.source}; "
                "give each document its own"
            )
        yield document
        previous = document
    if previous is None:
        raise CorpusError("the source has no documents; check what extraction.source points to")


def _write_sorted(chunk: list[Document], folder: Path) -> Path:
    chunk.sort(key=_doc_id)
    with PartWriter(folder / DATASET, DOCUMENTS) as writer:
        for batch in in_batches(chunk):
            writer.write(document_rows(batch, DOCUMENTS))
    return folder
