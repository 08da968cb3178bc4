"""The splitting section of pipeline.yaml."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.shared.section import Section

SmallLabels = Literal["fail", "train_only", "drop"]


class FoldSettings(Section):
    """One fold of a cross-validation."""

    count: int = Field(5, ge=3, le=100, description="number of folds; a label needs at least as many documents")
    index: int = Field(0, ge=0, description="the fold that is the test split, from 0")

    @model_validator(mode="after")
    def _index_within_count(self) -> Self:
        if self.index >= self.count:
            raise ValueError(f"index is {self.index}, but the last of {self.count} folds is {self.count - 1}")
        return self


class SplittingSettings(Section):
    """How documents are split into train, validation and test."""

    train: float = Field(0.8, gt=0, lt=1, description="share of the documents, from 0 to 1")
    validation: float = Field(0.1, gt=0, lt=1, description="share of the documents, from 0 to 1")
    test: float = Field(0.1, gt=0, lt=1, description="share of the documents, from 0 to 1")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the assignment")
    small_labels: SmallLabels = Field(
        "fail",
        description="a label with too few documents for three splits: stop, only train on it, or drop it",
    )
    fold: FoldSettings | None = Field(
        None, description="null: one set of splits; else the test split is a fold of a cross-validation"
    )

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, validation and test must sum to 1, but sum to {total:g}")
        return self


class SplittingLimits(Section):
    """What the check of the splits tolerates."""

    max_documents_off: float = Field(
        2.0,
        ge=1,
        description="documents by which a label's count in a split may deviate from its share; groups may add to it",
    )
    max_share_off: float = Field(
        0.05, ge=0, le=1, description="by which a split's share of all documents may deviate from the setting, 0 to 1"
    )
