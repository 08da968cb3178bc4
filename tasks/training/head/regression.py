"""Multinomial logistic regression on features that come a slice of the texts at a time, by L-BFGS.

Loss and gradient are sums over texts, so that the features of all of them need never be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from tasks.training.head.features import Features, Floats

CORRECTIONS = 10
"""Steps that L-BFGS remembers, two vectors of all weights each."""
HOW = {"maxcor": CORRECTIONS, "gtol": 1e-6, "ftol": 1e-8, "maxls": 50, "maxiter": 1000}
"""Products with features have single precision: closer than this their noise is followed."""


@dataclass(frozen=True)
class Regression:
    """What is to be minimal: the weighted sum of the texts' losses, and `penalty` / 2 times the squared weights.

    Parameters are the weights and, last, the bias of each label, [labels, features + 1]. Biases are free. Two labels
    are a case like any: the weights of the one are the negative of the other's.
    """

    features: Callable[[int], Features]
    """Those of the slice with that number, before they are multiplied with the factors."""
    slices: Sequence[slice]
    factors: Floats
    """[features]"""
    labels: NDArray[np.int64]
    """Class ids [texts]."""
    text_weights: Floats
    penalty: float

    def fit(self, start: Floats) -> Floats:
        """The best parameters, looked for from `start` on."""

        def loss(parameters: Floats) -> tuple[float, Floats]:
            value, gradient = self.loss(parameters.reshape(start.shape))
            return value, gradient.ravel()

        with threadpool_limits(1, user_api="blas"):  # NumPy's threads and SciPy's would wait for each other
            found: Floats = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=HOW).x
        return found.reshape(start.shape)

    def loss(self, parameters: Floats) -> tuple[float, Floats]:
        """What is to be minimal, and its gradient, which has the shape of the parameters."""
        weights, bias = np.split(parameters, [-1], axis=1)
        loss, gradient = self.penalty / 2 * float(np.square(weights).sum()), np.zeros(parameters.shape)
        effective = (weights * self.factors).T
        for number, some in enumerate(self.slices):
            seen, own, weight = self.features(number), self.labels[some], self.text_weights[some]
            logits = seen.times(effective) + bias.T
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
        gradient[:, :-1] *= self.factors
        gradient[:, :-1] += self.penalty * weights
        return loss, gradient
