"""The promotion section of pipeline.yaml: when a candidate takes the champion's place."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.shared.section import Section


class PromotionSettings(Section):
    """When a new model takes the champion's place. A first model must only beat the majority class."""

    when: Literal["better", "by_hand"] = Field(
        "better", description="who moves the champion: the run, or a person (corpusflow champion --set)"
    )
    metric: Literal["accuracy", "macro_f1"] = Field("macro_f1", description="what candidate and champion are judged by")
    least_gain: float = Field(0.0, ge=0, le=1, description="the candidate must be ahead by more than this")
    test: Literal["bootstrap", "mcnemar", "none"] = Field(
        "bootstrap", description="what says how sure the lead is; none takes any lead"
    )
    confidence: float = Field(0.95, ge=0.5, le=0.999, description="how sure the lead must be, by the test")
    min_documents: int = Field(10, ge=1, description="fewest documents to compare on; with fewer the champion stays")
    bootstrap_samples: int = Field(2000, ge=100, le=100_000, description="resamples of the compared documents")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the resampling")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where the champion computes")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.test == "mcnemar" and self.metric != "accuracy":
            raise ValueError("test: mcnemar counts right answers; it needs metric: accuracy")
        return self


class PromotionLimits(Section):
    """What the check of the decision asks for."""

    min_documents: int = Field(
        30, ge=0, description="warns when candidate and champion were compared on fewer documents"
    )
