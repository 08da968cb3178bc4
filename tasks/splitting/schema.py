"""The names of the splits, and the columns of the dataset that assigns documents to them."""

from __future__ import annotations

import pyarrow as pa

from tasks.extraction import schema as extraction

SPLITS = extraction.SPLITS
DATASET = "splits"

SPLITS_SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
    ]
)
"""One row per document, sorted by doc_id; `split` is one of `SPLITS`; `digest` is that of the
cleaned text, by which later runs know it. Documents of dropped labels have no row."""
