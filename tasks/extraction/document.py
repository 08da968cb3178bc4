"""A document, and how the datasets that hold documents are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.extraction.schema import DATASET
from tasks.shared.parquet import read_batches
from tasks.shared.parts.part import Part, current_document

TEXT_ROWS, OTHER_ROWS = 256, 65_536
"""Rows in memory at a time, with texts and without."""
BATCH_CHARACTERS = 2**20
"""A batch of documents is closed once its texts have this many characters, so that long texts do not fill memory."""


class Document(NamedTuple):
    """One text on its way through the pipeline. The fields are columns; one that is not known or not read is empty."""

    doc_id: str
    label: str = ""
    source: str = ""
    """Where it comes from, for people."""
    text: str = ""
    group: str = ""
    """The first document of its group of near duplicates; set by cleaning."""
    split: str = ""
    """train, validation or test; set by splitting."""
    digest: str = ""
    """That of the cleaned text; set by cleaning."""
    given_split: str | None = None
    """The split that the corpus comes with, if it has one."""


UNKNOWN = {"doc_id": "", **Document._field_defaults}


def read_documents(
    artifact: Path, columns: Collection[str], dataset: str = DATASET, rows: int | None = None
) -> Iterator[Document]:
    """The rows of an artifact's dataset, in order, with these columns alone; `rows` of them are in memory at a time.

    Raises ArtifactError for a missing or damaged dataset.
    """
    rows = rows or (TEXT_ROWS if "text" in columns else OTHER_ROWS)
    for batch in read_batches(artifact / dataset, list(columns), rows=rows):
        yield from documents_of(batch)


def documents_of(batch: pa.RecordBatch) -> Iterator[Document]:
    """Rows as documents; the columns are some of `Document`'s fields."""
    names = batch.schema.names
    fields = (batch[name].to_pylist() if name in names else repeat(UNKNOWN[name]) for name in Document._fields)
    return map(Document, *fields)


def read_part(part: Part, columns: Collection[str]) -> Iterator[Document]:
    """The rows of a part, in order, with these columns alone; an error names the one that was yielded last."""
    for batch in part.batches(list(columns), TEXT_ROWS):
        for document in documents_of(batch):
            current_document.set(document.doc_id)
            yield document


def in_batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """The documents in order, at most 256 at a time; fewer if their texts are long."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if len(batch) == TEXT_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def document_rows(documents: Sequence[Document], schema: pa.Schema) -> pa.RecordBatch:
    """Documents as rows; the schema's columns are fields of `Document`.

    Column by column, which takes half of the time that a row at a time does.
    """
    positions = [Document._fields.index(name) for name in schema.names]
    columns = [
        pa.array([document[at] for document in documents], field.type)
        for at, field in zip(positions, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def text_bytes(array: pa.StringArray) -> tuple[memoryview, npt.NDArray[np.int32]]:
    """The UTF-8 of all values of an array, one after the other, and where they begin and the last one ends."""
    _, offsets, data = array.buffers()
    if not len(array) or data is None:
        return memoryview(b""), np.zeros(len(array) + 1, np.int32)
    ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return memoryview(data)[ends[0] : ends[-1]], ends - ends[0]
