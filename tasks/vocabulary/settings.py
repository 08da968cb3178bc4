"""The vocabulary section of pipeline.yaml."""

from __future__ import annotations

from typing import Any, Literal

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
    keep: Literal["never", "champion"] = Field(
        "never",
        description="never: learn the vocabulary from the present training texts; champion: keep the champion's while "
        "it suits them, so that only new texts are encoded",
    )
    max_fertility_rise: float = Field(
        0.01,
        ge=0,
        description="for keep: champion, largest rise of the tokens per byte of the training texts since it was "
        "learned, as a share",
    )
    max_rare_rise: float = Field(
        0.005,
        ge=0,
        le=1,
        description="for keep: champion, largest rise of the share of tokens that occurred fewer than 5 times then",
    )

    def cache_values(self) -> dict[str, Any]:
        """Without what is not read."""
        values = super().cache_values()
        if self.keep == "never":
            for name in ("keep", "max_fertility_rise", "max_rare_rise"):
                del values[name]
        return values


class VocabularyLimits(Section):
    """What the check of the vocabulary tolerates."""

    max_unused_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of learned tokens that the training texts never use, from 0 to 1; only warns",
    )
