"""The columns of the cleaned and of the dropped documents."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

Reason = Literal["empty", "too_short", "exact_duplicate", "near_duplicate"]

DOCUMENTS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
    ]
)
"""`group` is the doc_id of the first document of a group of duplicates; a document that is alone is its own."""

DROPPED = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""`text` is the text as it was extracted; `detail` says what was found, for people."""
