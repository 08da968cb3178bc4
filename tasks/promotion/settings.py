"""The promotion section of pipeline.yaml: when a candidate replaces the champion."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.shared.section import Section


class PromotionSettings(Section):
    """When a new model replaces the champion. A first model must only beat the majority class."""

    when: Literal["better", "by_hand"] = Field(
        "better", description="who changes the champion: the run, or a person (corpusflow champion --set)"
    )
    metric: Literal["accuracy", "macro_f1"] = Field(
        "macro_f1", description="metric that candidate and champion are compared by"
    )
    min_gain: float = Field(0.0, ge=0, le=1, description="the candidate must be ahead by more than this")
    test: Literal["bootstrap", "mcnemar", "none"] = Field(
        "bootstrap", description="test of the lead; none accepts any lead"
    )
    confidence: float = Field(0.95, ge=0.5, le=0.999, description="confidence in the lead that the test must reach")
    min_documents: int = Field(
        10, ge=1, description="minimum number of compared documents; below it the champion stays"
    )
    bootstrap_samples: int = Field(2000, ge=100, le=100_000, description="resamples of the compared documents")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the resampling")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="device that the champion runs on")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.test == "mcnemar" and self.metric != "accuracy":
            raise ValueError("test: mcnemar counts correct predictions; it needs metric: accuracy")
        return self


class PromotionLimits(Section):
    """Limits of the check of the decision."""

    min_documents: int = Field(
        30, ge=0, description="warns when candidate and champion were compared on fewer documents"
    )
