"""The `linear` section of pipeline.yaml, and the limits of its check."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from tasks.linear.schema import Kind
from tasks.shared.section import Section


class LinearSettings(Section):
    """The linear members of the stack."""

    members: tuple[Kind, ...] = Field(
        ("words", "characters", "counts"),
        min_length=1,
        description="words: TF-IDF of words and word pairs, a linear support vector machine; characters: the same of "
        "character n-grams; counts: root frequencies of common words and signs, a logistic regression.",
    )
    C: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.3, 1.0, 3.0),
        min_length=1,
        description="Inverse regularization of words and of characters; out-of-fold predictions select one.",
    )
    words_min_df: int = Field(2, ge=1, description="Minimum document frequency of a word or a pair of words.")
    words_max_terms: int = Field(400_000, ge=1, description="Words and pairs, at most; the most frequent ones.")
    words_max_megabytes: float = Field(
        120.0,
        gt=0,
        description="Megabytes of text that words learns from, at most; of more, a sample of every label.",
    )
    characters_min_df: int = Field(3, ge=1, description="Minimum document frequency of a character n-gram.")
    characters_max_terms: int = Field(200_000, ge=1, description="Character n-grams, at most; the most frequent ones.")
    characters_max_megabytes: float = Field(
        35.0, gt=0, description="The same for characters, whose features take some ten times the memory of a word's."
    )
    counts_strength: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (5.0, 30.0), min_length=1, description="C of counts; out-of-fold predictions select one."
    )
    counts_min_df: int = Field(2, ge=1, description="Minimum document frequency of a word or sign.")
    counts_max_terms: int | None = Field(
        None,
        ge=1,
        description="Words and signs, at most; the most frequent ones. null: 4 per text, between 3,000 and 16,000.",
    )

    counts_max_megabytes: float = Field(120.0, gt=0, description="The same for counts.")

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
