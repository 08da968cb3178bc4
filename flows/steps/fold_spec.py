"""Which fold a cross-validation runs, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from flows.pipeline.settings import Pipeline, load_settings
from tasks.shared.store.artifacts import Artifact

BASELINES = ("majority", "naive_bayes", "tfidf_svm", "tfidf_svm_balanced", "tfidf_char_svm", "logistic_regression")

BAG: dict[str, dict[str, Any]] = {
    "vocabulary": {"size": 8000},
    "training": {
        "objective": "labels",
        "cell": "none",
        "skip": True,
        "epochs": 8,
        "learning_rate": 1e-2,
        "warmup_fraction": 0.3,
        "embedding_dropout": 0.3,
        "token_dropout": 0.3,
        "dropout": 0.5,
        "class_weight_power": 0.5,
    },
}
"""Settings of the bag of embeddings, a baseline: windows classified by the mean of their embeddings."""


class FoldSpec(BaseModel):
    """Which fold to run, with which settings, on which documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: str
    overrides: dict[str, Any]
    repeat: int
    fold: int
    folds: int
    seed: int
    cleaned: Artifact

    def pipeline(self) -> Pipeline:
        """The settings of the fold."""
        return load_settings(Path(self.config), self.settings())

    def settings(self) -> dict[str, Any]:
        """The overrides, and those that define the fold; if the overrides name baselines, these are used."""
        fold = {"seed": self.seed, "fold": {"count": self.folds, "index": self.fold}}
        named = self.overrides.get("evaluation", {})
        return with_sections(self.overrides, splitting=fold, evaluation={"baselines": list(BASELINES), **named})

    def bag_of_embeddings(self) -> Pipeline:
        """The settings of the bag of embeddings on this fold."""
        bag = with_sections(self.settings(), **BAG)
        return load_settings(Path(self.config), with_sections(bag, evaluation={"baselines": ["majority"]}))


class FoldResult(BaseModel):
    """The scores of a fold, and the folder of its report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repeat: int
    fold: int
    seed: int
    run: str
    status: str
    """Whether the model was built or reused."""
    seconds: float
    """Training time; time between an interruption and its resumption is not counted."""
    documents: int
    accuracy: float
    macro_f1: float
    report: str
    bag_of_embeddings: str | None
    """The report of the bag of embeddings; None if the model itself is one."""


def with_sections(overrides: Mapping[str, Any], **sections: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides with these values of these sections set."""
    return {**overrides, **{name: {**overrides.get(name, {}), **values} for name, values in sections.items()}}
