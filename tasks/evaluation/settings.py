"""Settings of the evaluation, and what its check asks for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tasks.shared.section import Section

BaselineName = Literal[
    "majority", "tfidf_svm", "tfidf_svm_balanced", "tfidf_char_svm", "logistic_regression", "naive_bayes"
]


class EvaluationSettings(Section):
    """How the model is measured on the test part, and what the report shows."""

    baselines: tuple[BaselineName, ...] = Field(
        ("majority", "tfidf_svm", "tfidf_svm_balanced", "naive_bayes", "logistic_regression"),
        description="Classifiers trained on the training and validation texts, and measured beside the model.",
    )
    bootstrap_samples: int = Field(2000, ge=100, le=100_000, description="Resamples of the test documents.")
    confidence: float = Field(0.95, ge=0.5, le=0.999, description="Share of resamples that an interval holds.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the resampling.")
    calibration_bins: int = Field(10, ge=2, le=100, description="Bins of equal width in the reliability table.")
    mistakes: int = Field(10, ge=0, le=1000, description="Most confident mistakes that the report shows.")
    excerpt_characters: int = Field(600, ge=0, le=20_000, description="Characters of each mistake's text shown.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where the model computes.")

    @field_validator("baselines")
    @classmethod
    def _names_are_sound(cls, names: tuple[BaselineName, ...]) -> tuple[BaselineName, ...]:
        if "majority" not in names:
            raise ValueError("'majority' must be among them: every score is read against it")
        if len(set(names)) < len(names):
            raise ValueError("each may be named once")
        return names


class EvaluationLimits(Section):
    """What the check of the evaluation asks for. Floors are off by default: a poor model deserves its report."""

    min_accuracy: float | None = Field(None, ge=0, le=1, description="Stops the run below this test accuracy.")
    min_macro_f1: float | None = Field(None, ge=0, le=1, description="Stops the run below this test macro-F1.")
    below_majority: Literal["ignore", "warn", "stop"] = Field(
        "warn", description="What happens when the model is right less often than the majority class."
    )
