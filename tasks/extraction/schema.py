"""The columns of the extracted documents."""

from __future__ import annotations

import pyarrow as pa

DATASET = "documents"
"""The folder of the documents, inside the artifacts of extraction and of cleaning."""

SPLITS = ("train", "validation", "test")

DOCUMENTS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("given_split", pa.string()),
    ]
)
"""One row per document, sorted by doc_id; `source` says where it comes from, for people; `given_split` is one of
`SPLITS`, or null in all rows if the corpus comes without splits."""
