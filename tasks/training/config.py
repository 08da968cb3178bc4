"""The model's configuration file, and the identity that a checkpoint must match to be resumed."""

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

MOVABLE = {"device", "processes"}
"""Settings that may differ when a checkpoint is resumed."""


def model_config(
    settings: TrainingSettings,
    training: TokenizedDocuments,
    classifier: WindowClassifier | DocumentClassifier,
    kept: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that prediction needs besides the weights; and the training settings, for people.

    `kept` is the kept epoch's row of the history.
    """
    label_names = training.label_names
    counts = np.bincount(training.labels, minlength=len(label_names)).tolist()
    return {
        "objective": settings.objective,
        "architecture": classifier.architecture.as_json(),
        "label_names": list(label_names),
        "training_documents": dict(zip(label_names, counts, strict=True)),
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
    """Settings, vocabulary and documents, flat, with names for error messages."""
    values = {f"training.{key}": value for key, value in settings.cache_values().items() if key not in MOVABLE}
    return {
        **values,
        "the vocabulary's digest": training.vocabulary_digest,
        "the training split's digest": _digest(training),
        "the validation split's digest": _digest(validation),
    }


def _digest(documents: TokenizedDocuments) -> str:
    digest = hashlib.sha256(repr(documents.label_names).encode())
    for array in (documents.labels, documents.offsets):
        digest.update(array.tobytes())
    for chunk in documents.chunks():
        digest.update(chunk.ids.tobytes())
    return digest.hexdigest()[:16]
