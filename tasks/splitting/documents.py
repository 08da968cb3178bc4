"""The one reader of the splits, with or without the texts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa

from tasks.extraction.document import Document, read_documents, read_part
from tasks.extraction.schema import DATASET as TEXTS
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_batches, read_between
from tasks.shared.parts.part import Part
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


def read_split_part(part: Part, splits: Path) -> Iterator[Document]:
    """Those documents of a part of the cleaned ones that are in a split, in order, with their texts."""
    ids = part.table(["doc_id"])["doc_id"]
    columns = ("doc_id", "label", "split")
    rows = read_between(splits / DATASET, columns, ids[0].as_py(), ids[-1].as_py())
    assigned = {
        doc_id: (label, split) for doc_id, label, split in zip(*(rows[c].to_pylist() for c in columns), strict=True)
    }
    for document in read_part(part, ("doc_id", "text")):
        if document.doc_id in assigned:
            label, split = assigned[document.doc_id]
            yield document._replace(label=label, split=split)


def require_all(found: int, cleaned: Path, splits: Path) -> None:
    """Raises ArtifactError unless `found`, the documents of the parts, are those of the splits."""
    if found != sum(1 for _ in read_splits(splits)):
        for _ in read_split_documents(cleaned, splits):
            pass  # names the document
        raise ArtifactError(f"{splits}: has a document twice, or not in order; delete its folder and run again")


def read_label_names(splits: Path) -> list[str]:
    """The labels of all splits, sorted: a label's position is its class id."""
    return sorted({document.label for document in read_splits(splits)})


def find_texts(cleaned: Path, doc_ids: Collection[str]) -> Iterator[tuple[str, str]]:
    """These documents with their texts, in order of doc_id; few are in memory at a time.

    Raises ArtifactError after the last one if one is missing.
    """
    wanted, found = set(doc_ids), 0
    for batch in read_batches(cleaned / TEXTS, ["doc_id", "text"]):
        rows = batch.filter(pa.array([doc_id in wanted for doc_id in batch["doc_id"].to_pylist()], pa.bool_()))
        found += rows.num_rows
        yield from zip(rows["doc_id"].to_pylist(), rows["text"].to_pylist(), strict=True)
    if found < len(wanted):
        there = {doc_id for batch in read_batches(cleaned / TEXTS, ["doc_id"]) for doc_id in batch[0].to_pylist()}
        missing = sorted(wanted - there)
        raise ArtifactError(
            f"{cleaned}: document {missing[0]!r} is in a split but has no text here (and {len(missing) - 1} "
            "more); splits and texts come from different runs, run again"
        )
