"""The files of the promotion stage: the decision, and the predictions of both models for each document."""

from __future__ import annotations

import pyarrow as pa

MOST_CERTAIN = 0.999

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


def certainty(confidence: float) -> str:
    """A confidence from 0 to 1 for people: no estimate is certain."""
    return "over 99.9 %" if confidence > MOST_CERTAIN else f"{100 * confidence:.1f} %"
