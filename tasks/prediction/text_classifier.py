"""Classifies raw texts with a model folder: cleaned as in the run that trained the model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.cleaning.length import has_text
from tasks.cleaning.normalize import normalize
from tasks.shared.errors import ArtifactError
from tasks.shared.progress import progress
from tasks.shared.store.artifacts import read_manifest
from tasks.stacking.explanation import Explanation
from tasks.stacking.stacked import StackedClassifier, read_model

CLEANING_OPTIONS = tuple(inspect.signature(normalize).parameters)[1:]
TEXTS_AT_ONCE = 256


class TextClassifier:
    """A model that accepts raw texts.

    The caller verifies the folder's files (`verified_model`), once. Raises ArtifactError for a folder of another
    version.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        read_model(folder)  # another version is named first
        lineage = read_manifest(folder).lineage
        try:
            cleaning = lineage["cleaning"]["settings"]
            self._options = {name: bool(cleaning[name]) for name in CLEANING_OPTIONS}
            max_tokens: int | None = lineage["tokenization"]["settings"]["max_tokens"]
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"{folder}: does not say how its texts were cleaned and tokenized ({error!r}); it was made by another "
                "version, train again"
            ) from error
        self._classifier = StackedClassifier.load(folder, device, max_tokens)
        self.label_names = self._classifier.label_names

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities [texts, labels]; NaN for a text with nothing visible in it."""
        starts = range(0, len(texts), TEXTS_AT_ONCE)
        answers = [
            self._probabilities(texts[start : start + TEXTS_AT_ONCE])
            for start in progress(starts, "predict", f"batches of {TEXTS_AT_ONCE} texts", len(starts))
        ]
        return np.concatenate([np.empty((0, len(self.label_names))), *answers])

    def explain(self, texts: Sequence[str]) -> list[Explanation | None]:
        """Why each text gets its most probable label and not the second one; None for a text with nothing visible."""
        answers = self.probabilities(texts)
        found: list[Explanation | None] = []
        for text, row in zip(texts, answers, strict=True):
            if np.isnan(row).any():
                found.append(None)
                continue
            label = int(row.argmax())
            other = int(np.where(np.arange(len(row)) == label, -1, row).argmax())
            found.append(self._classifier.explain(normalize(text, **self._options), label, other))
        return found

    def _probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        cleaned = [normalize(text, **self._options) for text in texts]
        answers = np.full((len(texts), len(self.label_names)), np.nan)
        filled = [number for number, text in enumerate(cleaned) if has_text(text)]
        logs = self._classifier.log_probabilities([cleaned[number] for number in filled]).astype(np.float64)
        shares = np.exp(logs)
        answers[filled] = shares / shares.sum(axis=1, keepdims=True)
        return answers
