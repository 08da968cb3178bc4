"""What is written beside the weights, and what a checkpoint must agree with to be gone on from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.training.model import Architecture

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.settings import TrainingSettings


def model_config(settings: TrainingSettings, training: TokenizedDocuments, kept_epoch: int) -> dict[str, Any]:
    """Everything that predicting needs, and for people the settings that the model was trained with."""
    names = training.label_names
    counts = np.bincount(training.labels, minlength=len(names)).tolist()
    return {
        "architecture": Architecture.of(settings, training.vocabulary_size, len(names)).as_json(),
        "label_names": list(names),
        "training_documents": dict(zip(names, counts, strict=True)),
        "window": {"size": settings.window, "stride": settings.stride},
        "vocabulary_digest": training.vocabulary_digest,
        "kept_epoch": kept_epoch,
        "settings": settings.shaping(),
    }


def identity(
    settings: TrainingSettings, training: TokenizedDocuments, validation: TokenizedDocuments
) -> dict[str, Any]:
    """Settings (less the device: a checkpoint may move), vocabulary and texts, flat and named for messages."""
    named = {f"training.{key}": value for key, value in settings.shaping().items() if key != "device"}
    return {
        **named,
        "the vocabulary's digest": training.vocabulary_digest,
        "the training part's digest": _digest(training),
        "the validation part's digest": _digest(validation),
    }


def _digest(part: TokenizedDocuments) -> str:
    digest = hashlib.sha256(repr(part.label_names).encode())
    for array in (part.labels, part.offsets, part.ids):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
