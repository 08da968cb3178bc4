"""The columns of the cleaned and of the dropped documents, and what a message says about these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa

from tasks.extraction import schema as extraction

FOLDER = "02_cleaned"
"""The folder of the cleaned artifacts in the data folder."""

Reason = Literal["empty", "too_short", "exact_duplicate", "near_duplicate", "conflicting_labels"]

SETTINGS = {
    "too_short": "cleaning.min_characters",
    "exact_duplicate": "cleaning.duplicates.exact",
    "near_duplicate": "cleaning.duplicates.near",
    "conflicting_labels": "cleaning.conflicting_labels",
}
"""The setting behind each reason. Nothing keeps an empty text."""

DROPPED_DATASET = "dropped"
"""The folder of the dropped documents, next to that of the cleaned ones."""
CONFLICTS_DATASET = "conflicts"
"""The folder of the documents whose text is there under more than one label, next to the others."""

DOCUMENTS = pa.schema(
    [
        *extraction.DOCUMENTS,
        pa.field("group", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
    ]
)
"""`group` is the doc_id of the first document of a group of near duplicates; a document that is alone is its own.
`digest` is that of the cleaned text, by which later stages and runs know it (`text_digest`)."""

DROPPED = pa.schema(
    [
        *extraction.DOCUMENTS,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""`text` is the text as extracted; `detail` says for people what was found."""

CONFLICTS = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("digest", "doc_id", "label", "source")])
"""One row per document, kept or dropped, the documents of a text together."""


def dropped_by(reasons: Mapping[str, int]) -> str:
    """For example: 60 too short (cleaning.min_characters), 2 empty; "none" if there are none."""
    parts = [
        f"{count:,} {reason.replace('_', ' ')}" + (f" ({SETTINGS[reason]})" if reason in SETTINGS else "")
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    return ", ".join(parts) or "none"
