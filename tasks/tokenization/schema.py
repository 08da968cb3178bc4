"""The columns of the tokenized documents."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pyarrow as pa

from tasks.vocabulary.schema import id_type

DATASET = "tokens"
"""The folder of the dataset inside the artifact."""
ROW_GROUP_BYTES = 2**18
"""Training reads row groups in random order: smaller ones shuffle a corpus larger than memory better, but need more
reads; these take a millisecond each."""


def tokens_schema(vocabulary_size: int, vocabulary_digest: str, labels: Iterable[str]) -> pa.Schema:
    """One row per document, sorted by doc_id; a label's position in the metadata's `labels` is its class id."""
    columns = [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("token_ids", pa.list_(pa.field("element", id_type(vocabulary_size), nullable=False)), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
    ]
    metadata = {
        "vocabulary_digest": vocabulary_digest,
        "vocabulary_size": str(vocabulary_size),
        "labels": json.dumps(sorted(labels), ensure_ascii=False),
    }
    return pa.schema(columns, metadata=metadata)
