"""Classifies texts with a model folder: cleaned, encoded, cut and classified as in the run that made it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.cleaning.normalize import normalize
from tasks.shared.errors import ArtifactError
from tasks.shared.store.artifacts import damage, read_manifest
from tasks.training.classifier import load_classifier
from tasks.vocabulary.schema import TOKENIZER
from tasks.vocabulary.tokenizer import Encoder

OPTIONS = tuple(inspect.signature(normalize).parameters)[1:]


class TextClassifier:
    """A model that takes texts as they come; raises ArtifactError for a damaged or foreign folder."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        fault = damage(folder)
        if fault is not None:
            raise ArtifactError(f"{fault}; train again, or take another model")
        lineage = read_manifest(folder).lineage
        try:
            cleaning = lineage["cleaning"]["settings"]
            self._options = {name: bool(cleaning[name]) for name in OPTIONS}
            self._max_tokens: int | None = lineage["tokenization"]["settings"]["max_tokens"]
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"{folder}: does not say how its texts were cleaned and tokenized ({error!r}); it was made by another "
                "version, train again"
            ) from error
        self._classifier = load_classifier(folder, device)
        self._encoder = Encoder.from_file(folder / TOKENIZER)
        self.label_names = self._classifier.label_names

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities [texts, labels]; NaN for a text of which nothing is left once it is cleaned."""
        cleaned = [normalize(text, **self._options) for text in texts]
        found = np.full((len(texts), len(self.label_names)), np.nan)
        there = [number for number, text in enumerate(cleaned) if text]
        ids = self._encoder.encode([cleaned[number] for number in there])
        found[there] = np.exp(self._classifier.log_probabilities([some[: self._max_tokens] for some in ids]))
        return found
