"""The columns of the cleaned and of the dropped documents."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from tasks.extraction import schema as extraction

Reason = Literal["empty", "too_short", "exact_duplicate", "near_duplicate"]

DROPPED_DATASET = "dropped"
"""The folder of the dropped documents, next to that of the cleaned ones."""

DOCUMENTS = pa.schema([*extraction.DOCUMENTS, pa.field("group", pa.string(), nullable=False)])
"""`group` is the doc_id of the first document of a group of near duplicates; a document that is alone is its own."""

DROPPED = pa.schema(
    [
        *extraction.DOCUMENTS,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""`text` is the text as extracted; `detail` says for people what was found."""
