"""The files of the promotion stage: the decision, and the predictions of both models for each document."""

from __future__ import annotations

import pyarrow as pa

DECISION, COMPARISON = "decision.json", "comparison.parquet"

COMPARISON_SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("candidate", pa.string(), nullable=False),
        pa.field("champion", pa.string()),
    ]
)
"""One row per compared document; `champion` is null if the candidate was judged like a first model."""
