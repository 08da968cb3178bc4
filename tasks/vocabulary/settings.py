"""The vocabulary section of pipeline.yaml."""

from __future__ import annotations

from pydantic import Field

from tasks.shared.section import Section


class VocabularySettings(Section):
    """How the byte-level BPE vocabulary is learned, from the training texts alone."""

    size: int | None = Field(
        None,
        ge=258,
        le=1_000_000,
        description="most tokens in the vocabulary, with [PAD], [UNK] and the 256 bytes; small corpora yield fewer; "
        "null: 4 per training text, between 2,000 and 16,000",
    )
    min_count: int = Field(2, ge=1, description="least merges of a pair in the training texts for it to become a token")


class VocabularyLimits(Section):
    """What the check of the vocabulary tolerates."""

    max_unused_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of learned tokens that the training texts never use, from 0 to 1; only warns",
    )
