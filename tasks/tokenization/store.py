"""Tokenized documents as Parquet rows, and as runs of flat arrays for training and evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import RowGroup, read_row_groups, read_schema, read_some_row_groups
from tasks.tokenization.schema import DATASET

if TYPE_CHECKING:
    from tasks.extraction.document import Document

FACTS = ("doc_id", "label", "split", "length")
RUN_TOKENS = 2**17
"""Tokens of a run, about: fewer make the reading dear, more make the shuffling of runs coarse."""
TokenIds = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Run:
    """Some documents of a split that follow one another, with their tokens one after another in one array."""

    first: int
    """Position of its first document in the split."""
    ids: TokenIds
    offsets: npt.NDArray[np.int64]
    """Where each document begins in `ids`, and the end of the last: [n + 1]."""

    def __iter__(self) -> Iterator[TokenIds]:
        """Token ids of each document, in order: views, no copies."""
        return (self.ids[begin:end] for begin, end in pairwise(self.offsets.tolist()))


@dataclass(frozen=True)
class TokenizedDocuments:
    """The documents of one split, sorted by doc_id: what is known of each, and their tokens to be read run by run.

    Document i has the class `labels[i]`, whose name is `label_names[labels[i]]`. Tokens are never all in memory.
    """

    doc_ids: list[str]
    labels: npt.NDArray[np.int64]
    """Class ids, [n]."""
    offsets: npt.NDArray[np.int64]
    """Tokens before each document, and of all: [n + 1]."""
    label_names: tuple[str, ...]
    """All labels of the corpus, sorted, also those that this split lacks."""
    vocabulary_size: int
    vocabulary_digest: str
    """SHA-256 of the tokenizer.json that the ids belong to, in hexadecimal."""
    bounds: npt.NDArray[np.int64]
    """Position of the first document of each run, and the number of documents: [runs + 1]."""
    read: Callable[[int], TokenIds]
    """Token ids of a run, flat, in the stored integer type (uint16 or uint32)."""

    def __len__(self) -> int:
        return len(self.doc_ids)

    @property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return int(self.offsets[-1])

    def runs(self, order: Iterable[int] | None = None) -> Iterator[Run]:
        """The runs one after another, or those of these numbers in this order; read when their turn comes."""
        for number in range(len(self.bounds) - 1) if order is None else order:
            first, end = self.bounds[number : number + 2].tolist()
            yield Run(first, self.read(number), self.offsets[first : end + 1] - self.offsets[first])

    def __iter__(self) -> Iterator[TokenIds]:
        """Token ids of each document, in order, [tokens]."""
        return (ids for run in self.runs() for ids in run)


@dataclass(frozen=True)
class TokensHeader:
    """What the schema's metadata says of the tokens."""

    label_names: tuple[str, ...]
    vocabulary_size: int
    vocabulary_digest: str


def token_rows(
    schema: pa.Schema, documents: Sequence[Document], ids: Sequence[npt.NDArray[np.unsignedinteger]]
) -> pa.RecordBatch:
    """One row per document, in the columns of `schema.tokens_schema`; `ids` are theirs, in the same order."""
    lengths = np.array([len(some) for some in ids], np.int32)
    element = schema.field("token_ids").type
    flat = np.concatenate([*ids, np.empty(0, element.value_type.to_pandas_dtype())])
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    columns = [
        pa.array([document.doc_id for document in documents], pa.string()),
        pa.array([document.label for document in documents], pa.string()),
        pa.array([document.split for document in documents], pa.string()),
        pa.ListArray.from_arrays(offsets, pa.array(flat, element.value_type), type=element),
        pa.array(lengths),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def read_header(folder: Path) -> TokensHeader:
    """The label map and the vocabulary's size and digest of a tokens artifact.

    Raises ArtifactError where the metadata is missing or damaged.
    """
    metadata = read_schema(folder / DATASET).metadata or {}
    try:
        return TokensHeader(
            label_names=tuple(json.loads(metadata[b"labels"])),
            vocabulary_size=int(metadata[b"vocabulary_size"]),
            vocabulary_digest=metadata[b"vocabulary_digest"].decode(),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"{folder / DATASET}: the schema's metadata lacks labels, vocabulary_size or vocabulary_digest, or "
            f"they are damaged ({error!r}); delete the artifact's folder and run again"
        ) from error


def open_tokens(folder: Path, split: str) -> TokenizedDocuments:
    """The documents of one split ("train", "validation" or "test") of a tokens artifact.

    Reads what is known of the documents; their ids are read when asked for. A split may have no documents.
    Raises ArtifactError where the artifact is damaged, when opening or when reading.
    """
    header = read_header(folder)
    id_type = read_schema(folder / DATASET).field("token_ids").type.value_type.to_pandas_dtype()
    doc_ids: list[str] = []
    labels, lengths, runs = [np.empty(0, np.int64)], [np.zeros(1, np.int64)], _Runs()
    for group, rows in read_row_groups(folder / DATASET, FACTS):
        chosen: pa.Table = rows.filter(pc.equal(rows["split"], split))
        doc_ids += chosen["doc_id"].to_pylist()
        labels.append(_class_ids(chosen["label"], header.label_names, folder))
        lengths.append(chosen["length"].to_numpy().astype(np.int64))
        runs.add(group, chosen.num_rows, int(lengths[-1].sum()))
    return TokenizedDocuments(
        doc_ids=doc_ids,
        labels=np.concatenate(labels),
        offsets=np.cumsum(np.concatenate(lengths)),
        label_names=header.label_names,
        vocabulary_size=header.vocabulary_size,
        vocabulary_digest=header.vocabulary_digest,
        bounds=np.array(runs.bounds),
        read=partial(_read_run, runs.groups, runs.tokens, split, id_type),
    )


class _Runs:
    """Puts row groups of one file together until they have RUN_TOKENS of the split."""

    def __init__(self) -> None:
        self.bounds = [0]
        self.groups: list[list[RowGroup]] = []
        self.tokens: list[int] = []

    def add(self, group: RowGroup, documents: int, tokens: int) -> None:
        if documents == 0:
            return
        if self.groups and self.tokens[-1] < RUN_TOKENS and self.groups[-1][-1].path == group.path:
            self.bounds[-1] += documents
            self.groups[-1].append(group)
            self.tokens[-1] += tokens
        else:
            self.bounds.append(self.bounds[-1] + documents)
            self.groups.append([group])
            self.tokens.append(tokens)


def _read_run(
    groups: list[list[RowGroup]], tokens: list[int], split: str, id_type: npt.DTypeLike, number: int
) -> TokenIds:
    rows = read_some_row_groups(groups[number], ("split", "token_ids"))
    chosen = rows.filter(pc.equal(rows["split"], split))
    ids: TokenIds = pc.list_flatten(chosen["token_ids"]).to_numpy().astype(id_type, copy=False)
    if len(ids) != tokens[number]:
        raise ArtifactError(
            f"{groups[number][0].path}: row group {groups[number][0].number} has {len(ids)} token ids where the "
            f"lengths say {tokens[number]}; delete the artifact's folder and run again"
        )
    return ids


def _class_ids(labels: pa.ChunkedArray, names: Sequence[str], folder: Path) -> npt.NDArray[np.int64]:
    found = pc.index_in(labels, pa.array(names, pa.string()))
    if found.null_count:
        unknown = labels.filter(pc.is_null(found))[0].as_py()
        raise ArtifactError(
            f"{folder / DATASET}: label {unknown!r} is not in the label map; delete the artifact's folder and run again"
        )
    class_ids: npt.NDArray[np.int64] = found.to_numpy().astype(np.int64)
    return class_ids
