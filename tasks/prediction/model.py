"""A trained model, from Python: no Prefect, no settings file.

from tasks.prediction.model import load_model

model = load_model("data/07_models/latest")
model.predict(["The court adjourned."]), model.predict_proba(["The court adjourned."]), model.label_names
model.explain(["The court adjourned."])[0].terms
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.shared.errors import InputError
from tasks.shared.store.champion import verified_model

if TYPE_CHECKING:
    from tasks.prediction.text_classifier import TextClassifier
    from tasks.stacking.explanation import Explanation


class Model:
    """Classifies raw texts: they are cleaned as in the run that trained the model.

    Several threads may share one.
    """

    def __init__(self, classifier: TextClassifier) -> None:
        self._classifier = classifier

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels [labels], in the order of the columns of `predict_proba`."""
        return self._classifier.label_names

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Probabilities [texts, labels] between 0 and 1; a row sums to 1.

        The row of a text that is empty once cleaned is NaN. Raises InputError for anything but strings.
        """
        return self._classifier.probabilities(_strings(texts))

    def predict(self, texts: Iterable[str]) -> list[str]:
        """The most probable label of each text, [texts].

        Raises InputError for a text that is empty once cleaned, and for anything but strings.
        """
        probabilities = self.predict_proba(texts)
        empty = np.flatnonzero(np.isnan(probabilities).any(axis=1))
        if len(empty):
            raise InputError(
                f"texts[{empty[0]}]: no text left once cleaned; leave it out, or call predict_proba, whose row is NaN"
            )
        return [self.label_names[column] for column in probabilities.argmax(axis=1)]

    def explain(self, texts: Iterable[str]) -> list[Explanation]:
        """Why each text gets its most probable label and not the second one, [texts].

        Raises InputError for a text that is empty once cleaned, and for anything but strings.
        """
        explanations = self._classifier.explain(_strings(texts))
        known = [explanation for explanation in explanations if explanation is not None]
        if len(known) < len(explanations):
            raise InputError(f"texts[{explanations.index(None)}]: no text left once cleaned; leave it out")
        return known


def load_model(folder: str | os.PathLike[str], device: str = "auto") -> Model:
    """The model in `folder`, an artifact of the stacking stage (`corpusflow path stacking` prints the newest).

    `device` is auto, cpu, cuda or mps. Every file is hashed first. Raises ArtifactError for a folder that is missing,
    damaged or of another version, SettingsError for a device that this machine does not have.
    """
    from tasks.prediction.text_classifier import TextClassifier  # numpy and scipy; torch only with the RNN

    path = Path(folder)
    verified_model(path, "train again, or choose another model")
    return Model(TextClassifier(path, device))


def _strings(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str | bytes):
        raise InputError(f"texts: one {type(texts).__name__}, not several texts; put it into a list")
    strings = list(texts)
    for number, text in enumerate(strings):
        if not isinstance(text, str):
            raise InputError(f"texts[{number}]: {type(text).__name__}, not a string")
    return strings
