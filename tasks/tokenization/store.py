"""Tokenized documents as Parquet rows, and as flat arrays for training, evaluation and inspection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_batches, read_schema
from tasks.tokenization.schema import DATASET

if TYPE_CHECKING:
    from tasks.vocabulary.documents import SplitDocument

COLUMNS = ("doc_id", "label", "split", "token_ids")


@dataclass(frozen=True)
class TokenizedDocuments:
    """The documents of one split, sorted by doc_id, their tokens one after another in one array.

    Document i is `ids[offsets[i]:offsets[i + 1]]`, its class `labels[i]`, that class's name `label_names[labels[i]]`.
    """

    doc_ids: list[str]
    labels: npt.NDArray[np.int64]
    """Class ids, [n]."""
    ids: npt.NDArray[np.unsignedinteger]
    """Token ids of all documents, flat, in the stored integer type (uint16 or uint32)."""
    offsets: npt.NDArray[np.int64]
    """Where each document begins in `ids`, and the end of the last: [n + 1]."""
    label_names: tuple[str, ...]
    """All labels of the corpus, sorted, also those that this split lacks."""
    vocabulary_size: int
    vocabulary_digest: str
    """SHA-256 of the tokenizer.json that the ids belong to, in hexadecimal."""

    def __len__(self) -> int:
        return len(self.doc_ids)

    def __getitem__(self, document: int) -> npt.NDArray[np.unsignedinteger]:
        """Token ids of one document: a view, not a copy."""
        if not 0 <= document < len(self):
            raise IndexError(f"document {document} of {len(self)}")
        return self.ids[self.offsets[document] : self.offsets[document + 1]]


@dataclass(frozen=True)
class TokensHeader:
    """What the schema's metadata says of the tokens."""

    label_names: tuple[str, ...]
    vocabulary_size: int
    vocabulary_digest: str


def token_rows(
    schema: pa.Schema, documents: Sequence[SplitDocument], ids: Sequence[npt.NDArray[np.unsignedinteger]]
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


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal: what tells one vocabulary from another."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def read_tokens(folder: Path, split: str) -> TokenizedDocuments:
    """The documents of one split ("train", "validation" or "test") of a tokens artifact.

    Reads part by part, so that only this split's ids are held in memory (2 or 4 bytes a token).
    A split without documents gives empty arrays. Raises ArtifactError where the artifact is damaged.
    """
    header = read_header(folder)
    class_ids = {name: number for number, name in enumerate(header.label_names)}
    doc_ids: list[str] = []
    labels: list[int] = []
    id_type = read_schema(folder / DATASET).field("token_ids").type.value_type.to_pandas_dtype()
    ids: list[npt.NDArray[np.unsignedinteger]] = [np.empty(0, id_type)]
    lengths: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]
    for batch in read_batches(folder / DATASET, COLUMNS):
        chosen: pa.RecordBatch = batch.filter(pc.equal(batch["split"], split))
        doc_ids += chosen["doc_id"].to_pylist()
        labels += [_class_id(label, class_ids, folder) for label in chosen["label"].to_pylist()]
        ids.append(pc.list_flatten(chosen["token_ids"]).to_numpy(zero_copy_only=False))
        lengths.append(pc.list_value_length(chosen["token_ids"]).to_numpy(zero_copy_only=False).astype(np.int64))
    return TokenizedDocuments(
        doc_ids=doc_ids,
        labels=np.array(labels, np.int64),
        ids=np.concatenate(ids),
        offsets=np.cumsum(np.concatenate(lengths)),
        label_names=header.label_names,
        vocabulary_size=header.vocabulary_size,
        vocabulary_digest=header.vocabulary_digest,
    )


def _class_id(label: str, class_ids: dict[str, int], folder: Path) -> int:
    try:
        return class_ids[label]
    except KeyError:
        raise ArtifactError(
            f"{folder / DATASET}: label {label!r} is not in the label map; delete the artifact's folder and run again"
        ) from None
