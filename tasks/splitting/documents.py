"""The one reader of the splits, with or without the texts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, starmap
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from tasks.extraction.document import OTHER_ROWS, Document, read_documents, read_part
from tasks.extraction.schema import DATASET as TEXTS
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_batches
from tasks.shared.parts.beside import Beside, BesideWriter
from tasks.shared.parts.part import Part
from tasks.splitting.schema import DATASET

Value = TypeVar("Value")
ASSIGNED = pa.schema([(name, pa.string()) for name in ("doc_id", "label", "split")])


def read_splits(splits: Path) -> Iterator[Document]:
    """The documents of a splits artifact in order of doc_id, without texts and digests."""
    return read_documents(splits, ("doc_id", "label", "group", "split"), DATASET)


def read_split_documents(cleaned: Path, splits: Path) -> Iterator[Document]:
    """The documents of a splits artifact in order of doc_id, with their cleaned texts.

    Both artifacts are sorted by doc_id, so they are read in parallel, 256 texts in memory at a time.
    Raises ArtifactError if a document of the splits is not among the cleaned ones.
    """
    texts = ((document.doc_id, document.text) for document in read_documents(cleaned, ("doc_id", "text")))
    return (document._replace(text=text) for document, text in _paired(cleaned, splits, texts))


def read_split_sizes(cleaned: Path, splits: Path) -> Iterator[tuple[Document, int]]:
    """The same without texts, each with the bytes of its text in UTF-8; raises the same."""
    batches = read_batches(cleaned / TEXTS, ["doc_id", "text"])
    columns = ((rows["doc_id"].to_pylist(), pc.binary_length(rows["text"]).to_pylist()) for rows in batches)
    return _paired(cleaned, splits, chain.from_iterable(starmap(zip, columns)))


def _paired(cleaned: Path, splits: Path, values: Iterable[tuple[str, Value]]) -> Iterator[tuple[Document, Value]]:
    """Each document of the splits with the value of its doc_id, both in order."""
    assigned = read_splits(splits)
    expected = next(assigned, None)
    for doc_id, value in values:
        if expected is not None and doc_id == expected.doc_id:
            yield expected, value
            expected = next(assigned, None)
    if expected is not None:
        raise ArtifactError(
            f"{splits}: document {expected.doc_id!r} is not in {cleaned}, or not in order; "
            "delete both folders and run again"
        )


def assign_parts(parts: Sequence[Part], splits: Path, path: Path, split: str | None = None) -> tuple[Beside, int]:
    """Writes the rows of the splits that belong to each part of the cleaned documents; returns the number of all rows.

    With `split`, those of that one alone.
    """
    batches = read_batches(splits / DATASET, ASSIGNED.names, rows=OTHER_ROWS)
    waiting: list[list[str]] = [[] for _ in ASSIGNED]
    begin = rows = 0
    with BesideWriter(path, ASSIGNED) as writer:
        for part in parts:
            last = part.last_id()
            while begin == len(waiting[0]) or waiting[0][-1] <= last:
                if (batch := next(batches, None)) is None:
                    break
                chosen = _chosen(batch, split)
                rows += chosen.num_rows
                waiting = [old[begin:] + new.to_pylist() for old, new in zip(waiting, chosen.columns, strict=True)]
                begin = 0
            end = bisect_right(waiting[0], last, begin)
            writer.write(part, [column[begin:end] for column in waiting])
            begin = end
    return writer.written, rows + sum(_chosen(batch, split).num_rows for batch in batches)


def _chosen(batch: pa.RecordBatch, split: str | None) -> pa.Table:
    table = pa.Table.from_batches([batch]).cast(ASSIGNED)
    return table if split is None else table.filter(pc.equal(table["split"], split))


def read_split_part(part: Part, assigned: pa.RecordBatch) -> Iterator[Document]:
    """Those documents of a part of the cleaned ones that are in its table of `assign_parts`, with their texts."""
    columns = (assigned[name].to_pylist() for name in ASSIGNED.names)
    of_id = {doc_id: (label, split) for doc_id, label, split in zip(*columns, strict=True)}
    for document in read_part(part, ("doc_id", "text")):
        if document.doc_id in of_id:
            label, split = of_id[document.doc_id]
            yield document._replace(label=label, split=split)


def require_all(found: int, expected: int, cleaned: Path, splits: Path) -> None:
    """Raises ArtifactError unless as many documents of the splits were found in the parts as the splits have."""
    if found != expected:
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
