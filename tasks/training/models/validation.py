"""Validation figures of one epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Validation:
    """How well texts that were not trained on are judged; a figure that the objective does not have is None."""

    loss: float
    """The lower the better, in nats; of labels: mean -log p(label) over documents."""
    window_accuracy: float | None = None
    accuracy: float | None = None
    """Share of the documents."""
    macro_f1: float | None = None
    """Over documents."""


def score(
    log_probabilities: NDArray[np.float64], labels: NDArray[np.int64], window_accuracy: float | None
) -> Validation:
    """Figures of labels for log-probabilities [documents, labels] and class ids [documents]."""
    predicted = log_probabilities.argmax(axis=1)
    return Validation(
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        accuracy=float((predicted == labels).mean()),
        macro_f1=macro_f1(labels, predicted),
        window_accuracy=window_accuracy,
    )


def macro_f1(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Mean over the labels that occur in either of F1 = 2·hits / (occurrences + predictions)."""
    size = int(max(labels.max(), predicted.max())) + 1
    occurrences, predictions = np.bincount(labels, minlength=size), np.bincount(predicted, minlength=size)
    hits = np.bincount(labels[labels == predicted], minlength=size)
    total = occurrences + predictions
    return float((2 * hits[total > 0] / total[total > 0]).mean())
