"""What splitting knows of the documents: columns without the texts, some 100 bytes a document."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.extraction import schema as extraction
from tasks.extraction.document import Document, document_rows
from tasks.shared.parquet import read_table
from tasks.splitting.schema import SPLITS

Ints = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
NONE = -1
"""The number of no split."""
COLUMNS = ("label", "group", "digest", "given_split")


@dataclass(frozen=True)
class Codes:
    """Strings as numbers."""

    of: Ints
    """The place of each string among the names, [strings]."""
    names: pa.StringArray
    """Distinct, sorted."""

    @classmethod
    def encode(cls, strings: pa.StringArray) -> Self:
        """Numbers strings in the order of their names."""
        encoded = strings.dictionary_encode()
        order = pc.sort_indices(encoded.dictionary)
        rank = np.empty(len(order), np.int32)
        rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
        return cls(rank[encoded.indices.to_numpy()], encoded.dictionary.take(order))


@dataclass(frozen=True)
class Rows:
    """Documents in order of doc_id, by column."""

    labels: Codes
    groups: Codes
    digests: pa.StringArray
    given: Ints
    """The place in `SPLITS` of the split that the corpus comes with, or NONE, [documents]."""

    @classmethod
    def of(cls, column: Callable[[str], pa.StringArray]) -> Self:
        """The rows whose columns `column` gives by name, one after the other, since each takes memory to read."""
        labels, groups = Codes.encode(column("label")), Codes.encode(column("group"))
        given = pc.index_in(column("given_split"), pa.array(SPLITS)).fill_null(NONE).to_numpy()
        return cls(labels, groups, column("digest"), given)

    @classmethod
    def of_documents(cls, documents: Iterable[Document]) -> Self:
        """Those of documents in memory."""
        rows = document_rows(sorted(documents), pa.schema([(name, pa.string()) for name in COLUMNS]))
        return cls.of(rows.column)

    def __len__(self) -> int:
        return len(self.given)

    def keep(self, mask: Mask) -> Rows:
        """The rows that are marked; labels and groups keep their numbers."""
        labels, groups = (Codes(codes.of[mask], codes.names) for codes in (self.labels, self.groups))
        return Rows(labels, groups, self.digests.filter(pa.array(mask)), self.given[mask])

    def texts_of_labels(self) -> npt.NDArray[np.int64]:
        """The number of documents of each label, [labels]."""
        return np.bincount(self.labels.of, minlength=len(self.labels.names))


def read_rows(cleaned: Path) -> Rows:
    """The rows of a cleaned artifact."""
    folder = cleaned / extraction.DATASET
    return Rows.of(lambda name: read_table(folder, [name])[name].combine_chunks())
