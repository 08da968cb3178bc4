"""The evaluation section of pipeline.yaml, and the limits of its check."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tasks.shared.section import Section

BaselineName = Literal["majority", "tfidf_svm", "tfidf_svm_balanced", "tfidf_char_svm", "naive_bayes"]


class EvaluationSettings(Section):
    """How the model is measured on the test split, and what the report shows."""

    baselines: tuple[BaselineName, ...] = Field(
        ("majority", "tfidf_svm", "tfidf_svm_balanced", "naive_bayes"),
        description="Classifiers trained on the training and validation texts, for comparison with the model.",
    )
    bootstrap_samples: int = Field(2000, ge=100, le=100_000, description="Resamples of the test documents.")
    confidence: float = Field(0.95, ge=0.5, le=0.999, description="Confidence level of the intervals.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the resampling.")
    calibration_bins: int = Field(10, ge=2, le=100, description="Bins of equal width in the reliability table.")
    mistakes: int = Field(10, ge=0, le=1000, description="Number of most confident mistakes in the report.")
    excerpt_characters: int = Field(
        600, ge=0, le=20_000, description="Characters of each mistake's text in the report."
    )
    doubtful_labels: int = Field(
        20, ge=0, le=1000, description="Labels worth a second look in the report; doubtful_labels.parquet has all."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Device that the model runs on.")

    @field_validator("baselines")
    @classmethod
    def _valid_names(cls, names: tuple[BaselineName, ...]) -> tuple[BaselineName, ...]:
        if "majority" not in names:
            raise ValueError("'majority' must be among them: every score is compared with it")
        if len(set(names)) < len(names):
            raise ValueError("each may be listed only once")
        return names


class EvaluationLimits(Section):
    """Limits of the check of the evaluation. Floors are off by default, so that a poor model gets a report too."""

    min_accuracy: float | None = Field(None, ge=0, le=1, description="Stops the run below this test accuracy.")
    min_macro_f1: float | None = Field(None, ge=0, le=1, description="Stops the run below this test macro-F1.")
    below_majority: Literal["ignore", "warn", "stop"] = Field(
        "warn", description="What to do if the model is less accurate than the majority class."
    )
