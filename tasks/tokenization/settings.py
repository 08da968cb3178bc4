"""The tokenization section of pipeline.yaml."""

from __future__ import annotations

from pydantic import Field

from tasks.shared.section import Section


class TokenizationSettings(Section):
    """How texts become token ids, apart from the vocabulary."""

    max_tokens: int | None = Field(None, ge=1, description="tokens kept from the beginning of a document; null: all")


class TokenizationLimits(Section):
    """What the check of the tokens tolerates."""

    max_unknown_share: float = Field(
        0.0, ge=0, le=1, description="share of [UNK] among the tokens, from 0 to 1; byte-level BPE never needs it"
    )
    min_tokens_per_byte: float = Field(
        0.0039,
        ge=0,
        description="tokens per byte of the texts in UTF-8, in each split; a token spells at most 256",
    )
    max_tokens_per_byte: float = Field(
        1.0, gt=0, description="tokens per byte of the texts in UTF-8, in each split; a token spells one or more"
    )
