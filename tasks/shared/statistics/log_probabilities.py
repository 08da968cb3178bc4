"""Log-probabilities of labels, [texts, labels]: normalising, scaling and judging them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.shared.statistics.metrics import Floats, Ints

Scores = NDArray[np.float32]
"""Log-probabilities [texts, labels]."""


def log_softmax(logits: NDArray[Any]) -> Scores:
    """Log-probabilities from logits [texts, labels]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float32)


def losses(logits: NDArray[Any], labels: Ints) -> Floats:
    """-log p of each text's label in nats, [texts]."""
    return -log_softmax(logits)[np.arange(len(labels)), labels].astype(np.float64)


def log_loss(logits: NDArray[Any], labels: Ints) -> float:
    """The mean of `losses`."""
    return float(losses(logits, labels).mean())


def best_scale(logits: NDArray[Any], labels: Ints) -> float:
    """The factor of the logits, from 1/100 to 100, with the lowest log-loss (temperature scaling).

    Guo et al. 2017, arXiv 1706.04599. So that texts classified without a single mistake do not ask for an infinite
    factor, the labels are smoothed: 1 / (texts + 1) of the probability is spread evenly.
    """
    from scipy.optimize import minimize_scalar  # half a second to import; prediction does without

    own, every = logits[np.arange(len(labels)), labels], logits.mean(axis=1)
    smoothing = float((own - every).mean()) / (len(labels) + 1)

    def loss(power: float) -> float:
        return log_loss(logits * np.exp(power), labels) + float(np.exp(power)) * smoothing

    found = minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded")
    return float(np.exp(found.x))
