"""Multinomial logistic regression on features that are read a slice of the texts at a time, by L-BFGS.

Loss and gradient are sums over texts, so that the features of all of them are never in memory. Regressions that differ
in nothing but factors of the features and their penalty are fitted together, as one whose loss is the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from tasks.training.stored import StoredRows

Floats = NDArray[np.float64]
CORRECTIONS = 10
"""Steps that L-BFGS remembers, two vectors of all weights each."""
HOW = {"maxcor": CORRECTIONS, "gtol": 1e-7, "ftol": 1e-9, "maxls": 50, "maxiter": 1000}
"""Features have single precision: closer than this their noise is followed."""


def fit(
    features: StoredRows,
    slices: Sequence[slice],
    factors: Floats,
    labels: NDArray[np.int64],
    text_weights: Floats,
    penalties: Floats,
) -> tuple[Floats, Floats]:
    """Weights [regressions, labels, features] and biases [regressions, labels], for features without their factors.

    `features` are [texts, features], read by these `slices`; `factors` [regressions, features]; class ids and weights
    of the texts [texts]. Minimal is the weighted sum of the texts' losses and a regression's penalty / 2 times its
    squared weights; biases are free. Two labels are a case like any: the weights of the one are the negative of the
    other's.
    """
    shape = (len(factors), int(labels.max()) + 1, factors.shape[1] + 1)
    loss = partial(_loss, features, slices, factors, labels, text_weights, penalties[:, None, None], shape)
    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=HOW).x.reshape(shape)
    return found[..., :-1] * factors[:, None], found[..., -1]


def _loss(
    features: StoredRows,
    slices: Sequence[slice],
    factors: Floats,
    labels: NDArray[np.int64],
    text_weights: Floats,
    penalties: Floats,
    shape: tuple[int, int, int],
    parameters: Floats,
) -> tuple[float, Floats]:
    """What is to be minimal, and its gradient; parameters are weights and, last, the bias: [regressions, labels, …]."""
    weights, biases = np.split(parameters.reshape(shape), [-1], axis=-1)
    scaled = (weights * factors[:, None]).reshape(-1, factors.shape[1]).astype(np.float32)
    gradient = np.zeros(shape)
    loss = float((penalties / 2 * np.square(weights)).sum())
    for some in slices:
        seen, own = features[some], labels[some]
        logits = (seen @ scaled.T + biases.ravel()).reshape(len(seen), *shape[:2])
        logits -= logits.max(axis=2, keepdims=True)
        wrong = np.exp(logits)
        total = wrong.sum(axis=2)
        at = np.arange(len(seen))
        loss += float(text_weights[some] @ (np.log(total) - logits[at, :, own]).sum(axis=1))
        wrong /= total[..., None]
        wrong[at, :, own] -= 1
        wrong *= text_weights[some][:, None, None]
        gradient[..., :-1] += (wrong.reshape(len(seen), -1).T.astype(np.float32) @ seen).reshape(weights.shape)
        gradient[..., -1] += wrong.sum(axis=0)
    gradient[..., :-1] *= factors[:, None]
    gradient[..., :-1] += penalties * weights
    return loss, gradient.ravel()
