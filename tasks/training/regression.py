"""Multinomial logistic regression on features that come a slice of the texts at a time, by L-BFGS.

Loss and gradient are sums over texts, so that the features of all of them need never be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from tasks.training.features import Features, Floats

CORRECTIONS = 10
"""Steps that L-BFGS remembers, two vectors of all weights each."""
HOW = {"maxcor": CORRECTIONS, "gtol": 1e-6, "ftol": 1e-8, "maxls": 50, "maxiter": 1000}
"""Products with features have single precision: closer than this their noise is followed."""


def fit(
    features: Callable[[int], Features],
    slices: Sequence[slice],
    factors: Floats,
    labels: NDArray[np.int64],
    text_weights: Floats,
    penalty: float,
    start: Floats,
) -> Floats:
    """Weights and, last, the bias of each label, [labels, features + 1], for features times `factors` [features].

    `features` are those of the slice with that number; class ids and weights of the texts [texts]. Minimal is the
    weighted sum of the texts' losses and `penalty` / 2 times the squared weights; biases are free. Two labels are a
    case like any: the weights of the one are the negative of the other's. `start` is where to begin, like the result.
    """
    loss = partial(_loss, features, slices, factors, labels, text_weights, penalty, start.shape)
    with threadpool_limits(1, user_api="blas"):  # NumPy's threads and SciPy's would wait for each other
        found: Floats = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=HOW).x.reshape(start.shape)
    return found


def _loss(
    features: Callable[[int], Features],
    slices: Sequence[slice],
    factors: Floats,
    labels: NDArray[np.int64],
    text_weights: Floats,
    penalty: float,
    shape: tuple[int, int],
    parameters: Floats,
) -> tuple[float, Floats]:
    """What is to be minimal, and its gradient."""
    weights, bias = np.split(parameters.reshape(shape), [-1], axis=1)
    loss, gradient = penalty / 2 * float(np.square(weights).sum()), np.zeros(shape)
    for number, some in enumerate(slices):
        seen, own, weight = features(number), labels[some], text_weights[some]
        logits = seen.times((weights * factors).T) + bias.T
        logits -= logits.max(axis=1, keepdims=True)
        wrong = np.exp(logits)
        total = wrong.sum(axis=1)
        at = np.arange(len(own))
        loss += float(weight @ (np.log(total) - logits[at, own]))
        wrong /= total[:, None]
        wrong[at, own] -= 1
        wrong *= weight[:, None]
        gradient[:, :-1] += seen.transposed_times(wrong).T
        gradient[:, -1] += wrong.sum(axis=0)
    gradient[:, :-1] *= factors
    gradient[:, :-1] += penalty * weights
    return loss, gradient.ravel()
