"""The one reader of the splits, with or without the texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.extraction.document import Document, read_documents
from tasks.shared.errors import ArtifactError
from tasks.splitting.schema import DATASET


def read_splits(splits: Path) -> Iterator[Document]:
    """The documents of a splits artifact in order of doc_id, without texts and digests."""
    return read_documents(splits, ("doc_id", "label", "group", "split"), DATASET)


def read_split_documents(cleaned: Path, splits: Path) -> Iterator[Document]:
    """The documents of a splits artifact in order of doc_id, with their cleaned texts.

    Both artifacts are sorted by doc_id, so they are read in parallel, 256 texts in memory at a time.
    Raises ArtifactError if a document of the splits is not among the cleaned ones.
    """
    assigned = read_splits(splits)
    expected = next(assigned, None)
    for document in read_documents(cleaned, ("doc_id", "text")):
        if expected is not None and document.doc_id == expected.doc_id:
            yield expected._replace(text=document.text)
            expected = next(assigned, None)
    if expected is not None:
        raise ArtifactError(
            f"{splits}: document {expected.doc_id!r} is not in {cleaned}, or not in order; "
            "delete both folders and run again"
        )


def training_texts(cleaned: Path, splits: Path) -> Iterator[str]:
    """The texts of the train split, one after another."""
    return (document.text for document in read_split_documents(cleaned, splits) if document.split == "train")


def count_training_texts(splits: Path) -> int:
    """How many documents the train split has."""
    return sum(document.split == "train" for document in read_splits(splits))


def read_label_names(splits: Path) -> list[str]:
    """The labels of all splits, sorted: a label's position is its class id."""
    return sorted({document.label for document in read_splits(splits)})
