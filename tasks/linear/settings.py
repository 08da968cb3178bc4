"""The `linear` section of pipeline.yaml, and the limits of its check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tasks.shared.section import Section


class LinearSettings(Section):
    """The linear members of the stack: TF-IDF and a linear support vector machine."""

    members: tuple[Literal["words", "characters"], ...] = Field(
        ("words", "characters"), min_length=1, description="Features of each member: words and word pairs, characters."
    )
    C: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.3, 1.0, 3.0), min_length=1, description="Inverse regularization; out-of-fold predictions select one."
    )
    words_min_df: int = Field(2, ge=1, description="Minimum document frequency of a word or a pair of words.")
    words_max_terms: int = Field(400_000, ge=1, description="Words and pairs, at most; the most frequent ones.")
    characters_min_df: int = Field(3, ge=1, description="Minimum document frequency of a character n-gram.")
    characters_max_terms: int = Field(200_000, ge=1, description="Character n-grams, at most; the most frequent ones.")

    @field_validator("members")
    @classmethod
    def _no_repetition(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each may be listed only once")
        return names


class LinearLimits(Section):
    """Limits of the check of the linear members."""

    min_gain_over_majority: float = Field(
        -0.1,
        ge=-1,
        le=1,
        description="Minimum of a member's out-of-fold accuracy less the most common label's share.",
    )
