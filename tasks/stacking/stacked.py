"""The stacked classifier: a model folder that stands alone. Imports torch only if the RNN is part of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tasks.shared.errors import ArtifactError
from tasks.shared.member import Member
from tasks.shared.statistics.log_probabilities import Scores
from tasks.stacking.explanation import Explanation, explain
from tasks.stacking.schema import FORMAT, MODEL
from tasks.stacking.weights import combine
from tasks.training.schema import MEMBER as RNN


@dataclass(frozen=True)
class StackedClassifier:
    """Members and their weights, by name."""

    members: Mapping[str, Member]
    weights: Mapping[str, float]
    label_names: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path, device: str = "auto", max_tokens: int | None = None) -> Self:
        """The model in the folder. Raises ArtifactError if a file is missing, damaged or of another version."""
        model = read_model(folder)
        members = {name: load_member(folder / name, device, max_tokens) for name in model["weights"]}
        return cls(members, model["weights"], tuple(model["label_names"]))

    def log_probabilities(self, texts: Sequence[str]) -> Scores:
        """Log-probabilities [texts, labels] of cleaned texts."""
        if not texts:
            return np.empty((0, len(self.label_names)), np.float32)
        return combine({name: member.log_probabilities(texts) for name, member in self.members.items()}, self.weights)

    def explain(self, text: str, label: int, other: int) -> Explanation:
        """What in a cleaned text speaks for the class id `label` rather than for `other`."""
        return explain(self.members, self.weights, self.label_names, text, label, other)


def load_member(folder: Path, device: str = "auto", max_tokens: int | None = None) -> Member:
    """The member that was saved in the folder, which has its name."""
    if folder.name == RNN:
        from tasks.training.models.member import RnnMember  # torch

        return RnnMember.load(folder, device, max_tokens)
    from tasks.linear.member import LinearMember

    return LinearMember.load(folder)


def read_model(folder: Path) -> dict[str, Any]:
    """The content of model.json. Raises ArtifactError for a missing or damaged file, or one of another version."""
    path = folder / MODEL
    if (folder / "config.json").exists() and not path.exists():
        raise ArtifactError(f"{folder}: made by an older version; train again")
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not readable ({error}); train again") from error
    if not isinstance(model, dict) or model.get("format") != FORMAT:
        raise ArtifactError(f"{path}: made by another version; train again")
    try:
        weights = {str(name): float(weight) for name, weight in model["weights"].items()}
        names = [str(name) for name in model["label_names"]]
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: not a model ({error!r}); train again") from error
    return {**model, "weights": weights, "label_names": names}
