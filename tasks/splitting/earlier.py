"""Finds the documents of earlier splits again among today's: by the digests of their texts, not by their ids."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.digest import read_digests
from tasks.cleaning.schema import FOLDER
from tasks.extraction.schema import DATASET as TEXTS
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_batches, read_schema
from tasks.splitting.columns import Column
from tasks.splitting.digests import TYPE, UNKNOWN, Digests, digests_of_texts, find_in
from tasks.splitting.rows import BATCH_ROWS, NONE, Ints, Rows, Splits, read_row_batches, split_numbers
from tasks.splitting.schema import DATASET, SPLITS, SPLITS_SCHEMA

LEARNED = ("train", "validation")
"""The splits that a model knows: it learned from one, and was selected by the other."""


def read_earlier(splits: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a splits artifact in order of doc_id, with the digests of their texts; the columns of its schema.

    A splits artifact of version 0.1 has no digests. They are then taken from the cleaned artifact that it was made
    from, if that still exists; else they are empty, and its documents can be found by doc_id alone.
    """
    known = "digest" in read_schema(splits / DATASET).names
    digests = {} if known else _digests_of_cleaned(splits)
    for batch in read_batches(splits / DATASET, SPLITS_SCHEMA.names[: None if known else -1], BATCH_ROWS):
        columns = list(batch.columns)
        if not known:
            columns.append(pa.array([digests.get(doc_id, "") for doc_id in batch["doc_id"].to_pylist()], pa.string()))
        yield pa.RecordBatch.from_arrays(columns, schema=SPLITS_SCHEMA)


def read_splits_with_digests(splits: Path) -> pa.Table:
    """The same in memory."""
    return pa.Table.from_batches(list(read_earlier(splits)), schema=SPLITS_SCHEMA)


def _digests_of_cleaned(splits: Path) -> dict[str, str]:
    """The digests of the cleaned artifact in a splits artifact's lineage, by doc_id; empty if it is gone or damaged."""
    try:
        lineage = json.loads((splits / "artifact.json").read_text(encoding="utf-8"))["lineage"]
        cleaned = splits.parents[1] / FOLDER / str(lineage["cleaning"]["fingerprint"])
        return {document.doc_id: document.digest for document in read_digests(cleaned)}
    except (OSError, ValueError, LookupError, TypeError, ArtifactError):
        return {}


def find_earlier(today: pa.Table, earlier: pa.Table) -> Splits:
    """The split that each of today's documents had, as `Earlier.splits_of`; both tables are in order of doc_id."""
    known, digests = Earlier(earlier.to_batches()), Column(TYPE)
    for batch in known.follow(today.to_batches()):
        digests.add(digests_of_texts(batch["digest"]))
    return known.splits_of(digests.filled)


def read_rows_and_splits(cleaned: Path, splits: Path, seed: int) -> tuple[Rows, Splits]:
    """The rows of a cleaned artifact, and the split that each had in an earlier artifact, as `Earlier.splits_of`."""
    known = Earlier(read_earlier(splits))
    rows = Rows.of(known.follow(read_row_batches(cleaned)), seed)
    return rows, known.splits_of(rows.digests)


def has_common_documents(cleaned: Path, splits: Path) -> bool:
    """Whether one of the cleaned documents has the id or the text of one of a splits artifact."""
    known, digests = Earlier(read_earlier(splits)), Column(TYPE)
    for batch in known.follow(read_batches(cleaned / TEXTS, ["doc_id", "digest"], BATCH_ROWS)):
        if known.same_ids:
            return True
        digests.add(digests_of_texts(batch["digest"]))
    texts = np.unique(digests.filled)
    return any(found.any() for _, found, _ in find_in(texts[texts != UNKNOWN], known.digests))


class Earlier:
    """Earlier documents, 17 bytes each, and what became of them today.

    Both are in order of doc_id and read side by side, so that ids need no memory.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        """`batches` have the columns doc_id, split and digest."""
        self.same_ids = 0
        """How many of today's documents, so far, have the id of an earlier one."""
        self._batches = iter(batches)
        self._digests, self._splits = Column(TYPE), Column(np.int8)
        self._ids: pa.StringArray = pa.array([], pa.string())
        """Those that are read, and come after today's."""
        self._found = Column(np.int8)
        """The splits of today's documents that have an earlier one's id and text."""
        self._changed: list[tuple[npt.NDArray[np.int64], Digests, Splits]] = []
        """Today's documents that have an earlier one's id alone: their positions, and its text and split."""

    @property
    def digests(self) -> Digests:
        """Those of the documents that are read."""
        return self._digests.filled

    def follow(self, today: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Today's documents, with the columns doc_id and digest, as they come."""
        for batch in today:
            if batch.num_rows:
                self._compare(batch["doc_id"], digests_of_texts(batch["digest"]))
            yield batch
        while self._read():
            pass

    def _read(self) -> bool:
        """Reads some documents; False if there are no more."""
        batch = next(self._batches, None)
        if batch is None:
            return False
        self._ids = batch["doc_id"]
        self._digests.add(digests_of_texts(batch["digest"]))
        self._splits.add(split_numbers(batch["split"]))
        return True

    def _compare(self, ids: pa.StringArray, digests: Digests) -> None:
        """Finds the earlier documents with these ids."""
        places = self._find(ids)
        known = np.flatnonzero(places != NONE)
        old, splits = self.digests[places[known]], self._splits.filled[places[known]]
        same = (old == digests[known]) & (old != UNKNOWN)
        found = np.full(len(ids), NONE, np.int8)
        found[known[same]] = splits[same]
        if not same.all():
            self._changed.append((len(self._found) + known[~same], old[~same], splits[~same]))
        self._found.add(found)
        self.same_ids += len(known)

    def _find(self, ids: pa.StringArray) -> Ints:
        """The places of earlier documents with these ids, NONE for the others."""
        found, last = np.full(len(ids), NONE, np.int32), ids[-1].as_py()
        while len(self._ids) or self._read():
            passed = len(self._digests) - len(self._ids)
            end = bisect_right(self._ids, last, key=pa.StringScalar.as_py)
            places = pc.index_in(ids, self._ids[:end]).fill_null(NONE).to_numpy()
            found[places != NONE] = places[places != NONE] + passed
            self._ids = self._ids[end:]
            if len(self._ids):
                break
        return found

    def splits_of(self, digests: Digests) -> Splits:
        """The place in `SPLITS` of the split that each of today's documents had, by their digests; NONE if it is new.

        It is that of the document with the same text. If there are several, of the one with the same id, else the first
        split, so that no text that a model learned from becomes a test text. A document whose text is new continues
        the document with its id if the text of that one is gone: it was edited.
        """
        found: Splits = self._found.filled
        others = np.flatnonzero(found == NONE)
        texts, of = np.unique(digests[others], return_inverse=True)
        first = np.full(len(texts), len(SPLITS), np.int8)
        for part, there, places in find_in(texts, self.digests):
            np.minimum.at(first, places, self._splits.filled[part][there])
        first[(first == len(SPLITS)) | (texts == UNKNOWN)] = NONE
        found[others] = first[of]
        if self._changed:
            self._continue_edited(found, digests)
        return found

    def _continue_edited(self, found: Splits, digests: Digests) -> None:
        positions, old, splits = map(np.concatenate, zip(*self._changed, strict=True))
        texts, of = np.unique(old, return_inverse=True)
        here = np.zeros(len(texts), bool)
        for _, _, places in find_in(texts, digests):
            here[places] = True
        edited = (found[positions] == NONE) & ~(here & (texts != UNKNOWN))[of]
        found[positions[edited]] = splits[edited]
