"""What splitting knows of the documents: numbers by column, some 40 bytes a document, and the labels' names."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.extraction.document import Document, document_rows
from tasks.extraction.schema import DATASET
from tasks.shared.parquet import read_batches
from tasks.splitting.columns import Column
from tasks.splitting.digests import TYPE, Digests, digests_of_names, digests_of_texts, find_in
from tasks.splitting.schema import SPLITS

Ints = npt.NDArray[np.int32]
Splits = npt.NDArray[np.int8]
"""Places in `SPLITS` or numbers of folds, or NONE."""
Mask = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]
NONE = -1
"""The number of no split."""
COLUMNS = ("doc_id", "label", "group", "digest", "given_split")
BATCH_ROWS = 8_192
"""Rows whose strings are in memory at a time."""


@dataclass(frozen=True)
class Codes:
    """Strings as numbers."""

    of: Ints
    """The place of each string among the names, [strings]."""
    names: pa.StringArray
    """Distinct, sorted."""


@dataclass(frozen=True)
class Rows:
    """Documents in order of doc_id, by column."""

    labels: Codes
    groups: Ints
    """The number of each document's group, [documents]: groups are numbered in the order of their names.

    A group that is not named after one of its documents comes after those that are; cleaning makes none.
    """
    keys: Keys
    """Places of the groups in a shuffled order, [groups, 2]; they depend on nothing but the group's name and `seed`."""
    digests: Digests
    """Those of the texts, [documents]."""
    given: Splits
    """The splits that the corpus comes with, [documents]."""
    seed: int

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch], seed: int) -> Self:
        """The rows of batches with the columns `COLUMNS`."""
        labels, groups, digests, given = _Labels(), _Groups(seed), Column(TYPE), Column(np.int8)
        for batch in batches:
            labels.add(batch["label"])
            groups.add(batch["doc_id"], batch["group"])
            digests.add(digests_of_texts(batch["digest"]))
            given.add(split_numbers(batch["given_split"]))
        return cls(labels.codes(), *groups.numbered(), digests.filled, given.filled, seed)

    @classmethod
    def of_documents(cls, documents: Iterable[Document], seed: int = 0) -> Self:
        """Those of documents in memory."""
        return cls.of([document_rows(sorted(documents), pa.schema([(name, pa.string()) for name in COLUMNS]))], seed)

    def __len__(self) -> int:
        return len(self.given)

    def keep(self, mask: Mask) -> Rows:
        """The rows that are marked; labels and groups keep their numbers."""
        labels = Codes(self.labels.of[mask], self.labels.names)
        return Rows(labels, self.groups[mask], self.keys, self.digests[mask], self.given[mask], self.seed)

    def texts_of_labels(self) -> npt.NDArray[np.int64]:
        """The number of documents of each label, [labels]."""
        return np.bincount(self.labels.of, minlength=len(self.labels.names))


def read_rows(cleaned: Path, seed: int) -> Rows:
    """The rows of a cleaned artifact."""
    return Rows.of(read_row_batches(cleaned), seed)


def read_row_batches(cleaned: Path) -> Iterator[pa.RecordBatch]:
    """The columns of a cleaned artifact that `Rows` are made of."""
    return read_batches(cleaned / DATASET, COLUMNS, BATCH_ROWS)


def split_numbers(names: pa.StringArray) -> Splits:
    """The places of splits' names in `SPLITS`, NONE for what is none."""
    numbers: Splits = pc.index_in(names, pa.array(SPLITS)).fill_null(NONE).to_numpy().astype(np.int8)
    return numbers


def shuffle_keys(digests: Digests) -> Keys:
    """The digests of names as pairs of numbers in the same order, [digests, 2]; in place of them, on their memory."""
    keys = digests.view(np.uint64)
    return (keys.byteswap(inplace=True) if sys.byteorder == "little" else keys).reshape(-1, 2)


class _Labels:
    """Numbers labels as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._of = Column(np.int32)

    def add(self, labels: pa.StringArray) -> None:
        encoded, numbers = labels.dictionary_encode(), self._numbers
        found = [numbers.setdefault(name, len(numbers)) for name in encoded.dictionary.to_pylist()]
        self._of.add(np.array(found, np.int32)[encoded.indices.to_numpy()])

    def codes(self) -> Codes:
        names = sorted(self._numbers)
        rank = np.empty(len(names), np.int32)
        rank[[self._numbers[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        return Codes(rank[self._of.filled], pa.array(names, pa.string()))


class _Groups:
    """Numbers groups by the documents that they are named after, which come in the order of their names."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._of = Column(np.int32)
        self._digests = Column(TYPE)
        """Those of the names, of the groups so far."""
        self._positions: list[npt.NDArray[np.int64]] = []
        self._names: list[pa.StringArray] = []
        """The documents whose group has another's name, and those names."""

    def add(self, doc_ids: pa.StringArray, groups: pa.StringArray) -> None:
        own = pc.equal(doc_ids, groups)
        marks = own.to_numpy(zero_copy_only=False)
        if not marks.all():
            self._positions.append(len(self._of) + np.flatnonzero(~marks))
            self._names.append(groups.filter(pc.invert(own)))
        self._of.add(len(self._digests) - 1 + np.cumsum(marks, dtype=np.int32))
        self._digests.add(digests_of_names(doc_ids.filter(own), self._seed))

    def numbered(self) -> tuple[Ints, Keys]:
        """The number of each document's group, and the keys of the groups."""
        if self._names:
            encoded = pa.concat_arrays(self._names).dictionary_encode()
            numbers = self._find(encoded.dictionary)[encoded.indices.to_numpy()]
            self._of.filled[np.concatenate(self._positions)] = numbers
        return self._of.filled, shuffle_keys(self._digests.filled)

    def _find(self, names: pa.StringArray) -> Ints:
        """The numbers of the groups with these names, which are distinct; new ones if no document has the name."""
        digests, groups = digests_of_names(names, self._seed), len(self._digests)
        by_digest = np.argsort(digests)
        numbers = np.full(len(names), NONE, np.int32)
        for part, found, places in find_in(digests[by_digest], self._digests.filled):
            numbers[by_digest[places]] = part.start + np.flatnonzero(found)
        by_name = pc.sort_indices(names).to_numpy()
        new = by_name[numbers[by_name] == NONE]
        numbers[new] = groups + np.arange(len(new), dtype=np.int32)
        self._digests.add(digests[new])
        return numbers
