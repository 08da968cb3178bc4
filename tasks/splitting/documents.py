"""Reads cleaned documents together with the part of the split they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_batches

BATCH_ROWS = 256
"""Documents in memory at a time."""


class SplitDocument(NamedTuple):
    """A cleaned text that is in a part of the split."""

    doc_id: str
    label: str
    split: str
    text: str


def split_documents(cleaned: Path, splits: Path) -> Iterator[list[SplitDocument]]:
    """The documents of the split in order of doc_id, at most 256 at a time; documents that it lacks are passed over.

    Both artifacts are sorted by doc_id, so they are read side by side and nothing but one batch is held.
    Raises ArtifactError where the split names a document that is not among the cleaned ones.
    """
    assigned = _rows(splits / "splits", ("doc_id", "label", "split"))
    wanted = next(assigned, None)
    for batch in read_batches(cleaned / "documents", ("doc_id", "text"), rows=BATCH_ROWS):
        found: list[SplitDocument] = []
        for number, doc_id in enumerate(batch["doc_id"].to_pylist()):
            if wanted is not None and doc_id == wanted[0]:
                found.append(SplitDocument(*wanted, batch["text"][number].as_py()))
                wanted = next(assigned, None)
        if found:
            yield found
    if wanted is not None:
        raise ArtifactError(
            f"{splits}: document {wanted[0]!r} is not in {cleaned}, or not in order; delete both folders and run again"
        )


def training_texts(cleaned: Path, splits: Path) -> Iterator[str]:
    """The texts of the training part, one after another."""
    for documents in split_documents(cleaned, splits):
        yield from (document.text for document in documents if document.split == "train")


def count_training_texts(splits: Path) -> int:
    """How many texts the training part has."""
    return sum(split == "train" for _, _, split in _rows(splits / "splits", ("doc_id", "label", "split")))


def _rows(folder: Path, columns: tuple[str, str, str]) -> Iterator[tuple[str, str, str]]:
    for batch in read_batches(folder, columns):
        yield from zip(*(batch[column].to_pylist() for column in columns), strict=True)
