"""Calibration of predicted probabilities: reliability table, calibration error, log-loss, Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.shared.statistics.metrics import Floats, Ints


@dataclass(frozen=True)
class Reliability:
    """Documents binned by the probability of their predicted class, in bins of equal width."""

    edges: Floats
    """[bins + 1] from 0 to 1; a bin includes its upper edge, not its lower one."""
    documents: Ints
    """[..., bins]"""
    confidence: Floats
    """Mean probability of the predicted class, [..., bins]; 0 in an empty bin."""
    accuracy: Floats
    """Share of correct predictions, [..., bins]; 0 in an empty bin."""

    @property
    def error(self) -> Floats:
        """Expected calibration error, [...]: mean distance of confidence and accuracy, weighted by documents.

        Naeini, Cooper & Hauskrecht, AAAI 2015; Guo et al., ICML 2017. Biased upwards when bins hold few documents.
        """
        share = self.documents / self.documents.sum(-1, keepdims=True)
        return np.asarray((share * np.abs(self.accuracy - self.confidence)).sum(-1))


def reliability(confidence: Floats, right: Floats, bins: int) -> Reliability:
    """The reliability table of `confidence` in [0, 1] and `right` (1 or 0), both [..., documents]."""
    leading = confidence.shape[:-1]
    tables = int(np.prod(leading, dtype=np.int64))
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1).reshape(tables, -1)
    cells = (bin_of + np.arange(tables, dtype=np.int64)[:, None] * bins).ravel()

    def total(values: Floats | None) -> Floats:
        weights = None if values is None else values.ravel()
        return np.bincount(cells, weights, minlength=tables * bins).astype(np.float64).reshape(*leading, bins)

    documents = total(None)
    filled = np.maximum(documents, 1)
    return Reliability(
        edges=np.linspace(0, 1, bins + 1),
        documents=documents.astype(np.int64),
        confidence=total(confidence) / filled,
        accuracy=total(right) / filled,
    )


def log_losses(labels: Ints, probabilities: Floats) -> Floats:
    """Minus the natural logarithm of the true class's probability (nats), [documents].

    Probabilities are clipped to the float64 epsilon (2.2e-16) from below, as in scikit-learn's `log_loss`, so that one
    mistake with probability 1 costs 36 nats and not infinity.
    """
    true = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(true, np.finfo(np.float64).eps, 1.0)))


def brier_scores(labels: Ints, probabilities: Floats) -> Floats:
    """Squared distance of the probabilities from the one-hot label, summed over classes, from 0 to 2, [documents].

    Brier, Monthly Weather Review 1950, in its original form for multiple classes.
    """
    truth = np.zeros_like(probabilities)
    truth[np.arange(len(labels)), labels] = 1
    return np.asarray(((probabilities - truth) ** 2).sum(-1))
