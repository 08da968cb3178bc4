"""What the promotion stage writes: the decision, and what both models answered to each document."""

from __future__ import annotations

import pyarrow as pa

DECISION, COMPARISON = "decision.json", "comparison.parquet"

ANSWERS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("candidate", pa.string(), nullable=False),
        pa.field("champion", pa.string()),
    ]
)
"""One row per document that was compared on; `champion` is null where the candidate was judged like a first model."""
