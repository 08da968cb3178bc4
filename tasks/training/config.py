"""What is written beside the weights, and what a checkpoint must agree with to be gone on from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.training.head.document_classifier import DocumentClassifier
from tasks.training.models.window_classifier import WindowClassifier

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.settings import TrainingSettings


def model_config(
    settings: TrainingSettings,
    training: TokenizedDocuments,
    classifier: WindowClassifier | DocumentClassifier,
    kept: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that predicting needs, and for people the settings that the model was trained with.

    `kept` is the history's row of the epoch that the weights are from.
    """
    names = training.label_names
    counts = np.bincount(training.labels, minlength=len(names)).tolist()
    return {
        "objective": settings.objective,
        "architecture": classifier.architecture.as_json(),
        "label_names": list(names),
        "training_documents": dict(zip(names, counts, strict=True)),
        "window": {
            "size": settings.window,
            "stride": settings.stride if settings.objective == "labels" else settings.window,
        },
        "vocabulary_digest": training.vocabulary_digest,
        "kept_epoch": kept["epoch"],
        "precision": kept["precision"],
        "settings": settings.cache_values(),
    }


def identity(
    settings: TrainingSettings, training: TokenizedDocuments, validation: TokenizedDocuments
) -> dict[str, Any]:
    """Settings (less device and processes: a checkpoint may move), vocabulary and texts, flat, named for messages."""
    moving = {"device", "processes"}
    named = {f"training.{key}": value for key, value in settings.cache_values().items() if key not in moving}
    return {
        **named,
        "the vocabulary's digest": training.vocabulary_digest,
        "the training part's digest": _digest(training),
        "the validation part's digest": _digest(validation),
    }


def _digest(part: TokenizedDocuments) -> str:
    digest = hashlib.sha256(repr(part.label_names).encode())
    for array in (part.labels, part.offsets):
        digest.update(array.tobytes())
    for chunk in part.chunks():
        digest.update(chunk.ids.tobytes())
    return digest.hexdigest()[:16]
