"""Validation metrics of one epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.shared.statistics.metrics import Floats, Ints, accuracy, confusion_matrix, macro_f1


@dataclass(frozen=True)
class Validation:
    """Metrics on the validation split; None for those that the objective does not have."""

    loss: float
    """In nats, lower is better; of labels: mean -log p(label) over documents."""
    window_accuracy: float | None = None
    accuracy: float | None = None
    """Over documents."""
    macro_f1: float | None = None
    """Over documents."""


def validation_metrics(log_probabilities: Floats, labels: Ints, window_accuracy: float | None) -> Validation:
    """Metrics of log-probabilities [documents, labels] against class ids [documents]."""
    confusion = confusion_matrix(labels, log_probabilities.argmax(axis=1), log_probabilities.shape[1])
    return Validation(
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        accuracy=float(accuracy(confusion)),
        macro_f1=float(macro_f1(confusion)),
        window_accuracy=window_accuracy,
    )
