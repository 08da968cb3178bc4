"""Multinomial logistic regression by L-BFGS, on features that come by blocks of rows.

Loss and gradient are sums over texts, so the features of all texts are never in memory at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tasks.training.head.features import Features, Floats

CORRECTIONS = 10
"""History of L-BFGS: each step keeps two vectors of all weights."""
OPTIONS = {"maxcor": CORRECTIONS, "gtol": 1e-6, "ftol": 1e-8, "maxls": 50, "maxiter": 1000}
"""Products with features have single precision: tighter tolerances would follow their noise."""


@dataclass(frozen=True)
class Regression:
    """Minimizes the weighted sum of the texts' losses plus `penalty` / 2 times the squared weights.

    Parameters [labels, features + 1] are each label's weights and, last, its bias, which is not penalized. Two labels
    have opposite weights.
    """

    features: Callable[[int], Features]
    """The features of a block of rows, by its number, before `factors`."""
    row_blocks: Sequence[slice]
    factors: Floats
    """Each feature is multiplied with its factor [features]."""
    labels: NDArray[np.int64]
    """Class ids [texts]."""
    text_weights: Floats
    penalty: float

    def fit(self, start: Floats) -> Floats:
        """The best parameters, starting from `start`."""
        from scipy.optimize import minimize  # a third of a second to import, and prediction does not need it

        def loss(parameters: Floats) -> tuple[float, Floats]:
            value, gradient = self.loss(parameters.reshape(start.shape))
            return value, gradient.ravel()

        with threadpool_limits(1, user_api="blas"):  # NumPy's and SciPy's threads would wait for each other
            best: Floats = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=OPTIONS).x
        return best.reshape(start.shape)

    def loss(self, parameters: Floats) -> tuple[float, Floats]:
        """The penalized loss, and its gradient in the shape of the parameters."""
        weights, bias = np.split(parameters, [-1], axis=1)
        loss, gradient = self.penalty / 2 * float(np.square(weights).sum()), np.zeros(parameters.shape)
        effective = (weights * self.factors).T
        for number, rows in enumerate(self.row_blocks):
            features, labels, weight = self.features(number), self.labels[rows], self.text_weights[rows]
            logits = features.times(effective) + bias.T
            logits -= logits.max(axis=1, keepdims=True)
            residuals = np.exp(logits)
            total = residuals.sum(axis=1)
            index = np.arange(len(labels))
            loss += float(weight @ (np.log(total) - logits[index, labels]))
            residuals /= total[:, None]
            residuals[index, labels] -= 1
            residuals *= weight[:, None]
            gradient[:, :-1] += features.transposed_times(residuals).T
            gradient[:, -1] += residuals.sum(axis=0)
        gradient[:, :-1] *= self.factors
        gradient[:, :-1] += self.penalty * weights
        return loss, gradient
