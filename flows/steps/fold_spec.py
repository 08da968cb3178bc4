"""Which fold a cross-validation runs, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from flows.pipeline.settings import Pipeline, load_settings
from tasks.shared.store.artifacts import Artifact

BASELINES = ("majority", "naive_bayes", "tfidf_svm", "tfidf_svm_balanced", "tfidf_char_svm")


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


def with_sections(overrides: Mapping[str, Any], **sections: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides with these values of these sections set."""
    return {**overrides, **{name: {**overrides.get(name, {}), **values} for name, values in sections.items()}}
