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
    min_tokens_per_character: float = Field(0.02, ge=0, description="tokens per character, in each split")
    max_tokens_per_character: float = Field(1.5, gt=0, description="tokens per character, in each split")
