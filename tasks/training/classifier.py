"""Classifies documents with a trained, self-contained model folder.

    classifier = load_classifier(Path("data/06_models/…"))
    classifier.label_names, classifier.log_probabilities([token_ids, other_token_ids])

Prediction is deterministic: no dropout, windows at a fixed stride.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from tasks.shared.errors import ArtifactError, CorpusError
from tasks.training.data.windows import sliding_windows
from tasks.training.head.document_classifier import DocumentArchitecture, DocumentClassifier
from tasks.training.models.inference import pool_documents, window_log_probabilities
from tasks.training.models.window_classifier import WindowArchitecture, WindowClassifier
from tasks.training.runtime.device import choose_device
from tasks.training.schema import CONFIG, WEIGHTS


@dataclass(frozen=True)
class Classifier:
    """A trained model, ready to predict."""

    model: WindowClassifier | DocumentClassifier
    label_names: tuple[str, ...]
    window: int
    stride: int
    vocabulary_digest: str
    """Hexadecimal SHA-256 of the tokenizer.json that the token ids must come from."""
    device: torch.device

    def log_probabilities(self, ids: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Log-probabilities [documents, labels]; `ids` has an array of token ids per document.

        Raises CorpusError for a document without tokens, or with a token id beyond the vocabulary.
        """
        if not ids:
            return np.empty((0, len(self.label_names)))
        for number, text in enumerate(ids):
            if len(text) == 0:
                raise CorpusError(f"text {number}: has no tokens to classify")
            if not 0 <= int(text.min()) <= int(text.max()) < self.model.architecture.vocabulary_size:
                raise CorpusError(
                    f"text {number}: token ids {text.min()} … {text.max()}, but the model's vocabulary has "
                    f"{self.model.architecture.vocabulary_size:,} tokens; encode it with the model's own tokenizer.json"
                )
        offsets = np.cumsum([0, *(len(text) for text in ids)])
        flat = np.concatenate(ids)
        if isinstance(self.model, DocumentClassifier):
            return self.model.log_probabilities(flat, offsets)
        windows = sliding_windows(offsets, self.window, self.stride)
        answers = window_log_probabilities(self.model, flat, windows, self.device)
        return pool_documents(answers, windows.documents, len(ids))


def load_classifier(folder: Path, device: str = "auto") -> Classifier:
    """The model in `folder`. Raises ArtifactError if a file is missing, damaged or does not match the others."""
    config = _read_config(folder)
    try:
        model = _build(config["objective"], config["architecture"])
        labels = tuple(config["label_names"])
        window, stride = int(config["window"]["size"]), int(config["window"]["stride"])
        digest = str(config["vocabulary_digest"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{folder / CONFIG}: not a model's configuration ({error!r}); train again") from error
    if len(labels) != model.architecture.labels:
        raise ArtifactError(
            f"{folder / CONFIG}: has {len(labels)} label names, but the architecture has {model.architecture.labels}; "
            "train again"
        )
    _load_weights(model, folder / WEIGHTS)
    target = choose_device(device)
    return Classifier(model.to(target).eval(), labels, window, stride, digest, target)


def _build(objective: str, architecture: Any) -> WindowClassifier | DocumentClassifier:
    if objective == "language":
        return DocumentClassifier(DocumentArchitecture.from_json(architecture))
    if objective == "labels":
        return WindowClassifier(WindowArchitecture(**architecture))
    raise ValueError(f"objective {objective!r}")


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder / CONFIG}: not readable ({error}); train again") from error
    if not isinstance(config, dict):
        raise ArtifactError(f"{folder / CONFIG}: not a mapping; train again")
    return config


def _load_weights(model: nn.Module, path: Path) -> None:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: not readable as safetensors ({error}); train again") from error
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    stored = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(expected.keys() | stored.keys()):
        if expected.get(name) != stored.get(name):
            raise ArtifactError(
                f"{path}: {name} has shape {stored.get(name, 'none (missing)')}, but {CONFIG} asks for "
                f"{expected.get(name, 'none')}; train again"
            )
    model.load_state_dict(weights)
