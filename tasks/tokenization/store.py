"""Tokenized documents as Parquet rows, and as chunks of flat arrays for training and evaluation."""

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

METADATA_COLUMNS = ("doc_id", "label", "split", "length")
CHUNK_TOKENS = 2**17
"""Tokens of a chunk, approximately: fewer make reading slow, more make the shuffling of chunks coarse."""
TokenIds = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Chunk:
    """Consecutive documents of a split, with their tokens concatenated in one array."""

    first: int
    """Position of its first document in the split."""
    ids: TokenIds
    offsets: npt.NDArray[np.int64]
    """Start of each document in `ids`, and the end of the last, [n + 1]."""

    def __iter__(self) -> Iterator[TokenIds]:
        """Token ids of each document, in order: views, no copies."""
        return (self.ids[begin:end] for begin, end in pairwise(self.offsets.tolist()))


@dataclass(frozen=True)
class TokenizedDocuments:
    """The documents of one split, sorted by doc_id: ids, labels and lengths in memory, tokens read chunk by chunk.

    Document i has the class `labels[i]`, whose name is `label_names[labels[i]]`.
    """

    doc_ids: list[str]
    labels: npt.NDArray[np.int64]
    """Class ids, [n]."""
    offsets: npt.NDArray[np.int64]
    """Tokens before each document, and of all documents, [n + 1]."""
    label_names: tuple[str, ...]
    """All labels of the corpus, sorted, including those missing from this split."""
    vocabulary_size: int
    vocabulary_digest: str
    """SHA-256 of the tokenizer.json that the ids belong to, in hexadecimal."""
    bounds: npt.NDArray[np.int64]
    """Position of the first document of each chunk, and the number of documents, [chunks + 1]."""
    read: Callable[[int], TokenIds]
    """Token ids of a chunk, flat, in the stored integer type (uint16 or uint32)."""

    def __len__(self) -> int:
        return len(self.doc_ids)

    @property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return int(self.offsets[-1])

    def chunks(self, order: Iterable[int] | None = None) -> Iterator[Chunk]:
        """The chunks in order, or those with these numbers in this order; each is read when it is reached."""
        for number in range(len(self.bounds) - 1) if order is None else order:
            first, end = self.bounds[number : number + 2].tolist()
            yield Chunk(first, self.read(number), self.offsets[first : end + 1] - self.offsets[first])

    def __iter__(self) -> Iterator[TokenIds]:
        """Token ids of each document, in order, [tokens]."""
        return (ids for chunk in self.chunks() for ids in chunk)


@dataclass(frozen=True)
class TokensHeader:
    """The metadata in the schema of the tokens."""

    label_names: tuple[str, ...]
    vocabulary_size: int
    vocabulary_digest: str


def token_rows(
    schema: pa.Schema, documents: Sequence[Document], ids: Sequence[npt.NDArray[np.unsignedinteger]]
) -> pa.RecordBatch:
    """One row per document, in the columns of `schema.tokens_schema`; `ids` are their token ids."""
    lengths = np.array([len(document_ids) for document_ids in ids], np.int32)
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

    Raises ArtifactError if the metadata is missing or damaged.
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

    Reads everything but the token ids, which are read when needed. A split may have no documents.
    Raises ArtifactError if the artifact is damaged, when opening or when reading it.
    """
    header = read_header(folder)
    id_type = read_schema(folder / DATASET).field("token_ids").type.value_type.to_pandas_dtype()
    doc_ids: list[str] = []
    labels, lengths, chunks = [np.empty(0, np.int64)], [np.zeros(1, np.int64)], _ChunkBuilder()
    for group, rows in read_row_groups(folder / DATASET, METADATA_COLUMNS):
        chosen: pa.Table = rows.filter(pc.equal(rows["split"], split))
        doc_ids += chosen["doc_id"].to_pylist()
        labels.append(_class_ids(chosen["label"], header.label_names, folder))
        lengths.append(chosen["length"].to_numpy().astype(np.int64))
        chunks.add(group, chosen.num_rows, int(lengths[-1].sum()))
    return TokenizedDocuments(
        doc_ids=doc_ids,
        labels=np.concatenate(labels),
        offsets=np.cumsum(np.concatenate(lengths)),
        label_names=header.label_names,
        vocabulary_size=header.vocabulary_size,
        vocabulary_digest=header.vocabulary_digest,
        bounds=np.array(chunks.bounds),
        read=partial(_read_chunk, chunks.groups, chunks.tokens, split, id_type),
    )


class _ChunkBuilder:
    """Combines row groups of one file until they have CHUNK_TOKENS tokens of the split."""

    def __init__(self) -> None:
        self.bounds = [0]
        self.groups: list[list[RowGroup]] = []
        self.tokens: list[int] = []

    def add(self, group: RowGroup, documents: int, tokens: int) -> None:
        if documents == 0:
            return
        if self.groups and self.tokens[-1] < CHUNK_TOKENS and self.groups[-1][-1].path == group.path:
            self.bounds[-1] += documents
            self.groups[-1].append(group)
            self.tokens[-1] += tokens
        else:
            self.bounds.append(self.bounds[-1] + documents)
            self.groups.append([group])
            self.tokens.append(tokens)


def _read_chunk(
    groups: list[list[RowGroup]], tokens: list[int], split: str, id_type: npt.DTypeLike, number: int
) -> TokenIds:
    rows = read_some_row_groups(groups[number], ("split", "token_ids"))
    chosen = rows.filter(pc.equal(rows["split"], split))
    ids: TokenIds = pc.list_flatten(chosen["token_ids"]).to_numpy().astype(id_type, copy=False)
    if len(ids) != tokens[number]:
        raise ArtifactError(
            f"{groups[number][0].path}: row group {groups[number][0].number} has {len(ids)} token ids, but the "
            f"lengths sum to {tokens[number]}; delete the artifact's folder and run again"
        )
    return ids


def _class_ids(labels: pa.ChunkedArray, names: Sequence[str], folder: Path) -> npt.NDArray[np.int64]:
    positions = pc.index_in(labels, pa.array(names, pa.string()))
    if positions.null_count:
        unknown = labels.filter(pc.is_null(positions))[0].as_py()
        raise ArtifactError(
            f"{folder / DATASET}: label {unknown!r} is not in the metadata; delete the artifact's folder and run again"
        )
    class_ids: npt.NDArray[np.int64] = positions.to_numpy().astype(np.int64)
    return class_ids
