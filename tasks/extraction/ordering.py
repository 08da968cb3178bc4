"""Documents in the order of their ids, however many there are.

An external merge sort: runs of bounded size are sorted in memory and set aside on disk, then merged. In memory
are at most one run, and after that a few rows of each run. A run that is the only one never touches the disk.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tasks.extraction.schema import DOCUMENTS, Document
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter, read_batches

RUN_CHARACTERS = 64 * 2**20
"""A run is closed once its texts have this many characters."""


def in_order(documents: Iterable[Document], run_characters: int = RUN_CHARACTERS) -> Iterator[Document]:
    """The documents sorted by doc_id; those of one doc_id stay in the order they came in."""
    with ExitStack() as stack:
        runs: list[Path] = []
        run: list[Document] = []
        characters = 0
        for document in documents:
            run.append(document)
            characters += len(document.text)
            if characters >= run_characters:
                if not runs:
                    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corpusflow-")))
                runs.append(_set_aside(run, scratch / f"run-{len(runs)}"))
                run, characters = [], 0
        run.sort(key=_doc_id)
        yield from heapq.merge(*(_read_back(folder) for folder in runs), run, key=_doc_id)


def checked(documents: Iterable[Document]) -> Iterator[Document]:
    """Passes ordered documents on. Raises CorpusError for an empty id or label, an id met twice, and no documents."""
    previous: Document | None = None
    for document in documents:
        if not document.doc_id.strip() or not document.label.strip():
            empty = "label" if document.doc_id.strip() else "doc_id"
            raise CorpusError(f"{document.source}: the {empty} is empty; every document needs one")
        if previous is not None and document.doc_id == previous.doc_id:
            raise CorpusError(
                f"doc_id {document.doc_id!r} is given twice, in {previous.source} and in {document.source}; "
                "give each document its own"
            )
        yield document
        previous = document
    if previous is None:
        raise CorpusError("the source has no documents; check what extraction.source points to")


def _doc_id(document: Document) -> str:
    return document.doc_id


def _set_aside(run: list[Document], folder: Path) -> Path:
    run.sort(key=_doc_id)
    with PartWriter(folder, DOCUMENTS) as writer:
        for document in run:
            writer.write([document._asdict()])
    return folder


def _read_back(folder: Path) -> Iterator[Document]:
    for batch in read_batches(folder, rows=16):
        yield from map(Document, *(column.to_pylist() for column in batch.columns))
