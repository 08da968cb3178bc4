"""Weights of the members: log p(label) is the sum of weight · log-probability, normalized.

A log-linear opinion pool (Genest & Zidek, Statistical Science 1986) whose weights, none below zero, minimize the
log-loss of out-of-fold predictions. They need not sum to one: their sum is an inverse temperature (Guo et al. 2017,
arXiv 1706.04599). So that texts classified without a single mistake do not ask for infinite weights, the labels are
smoothed: 1 / (texts + 1) of the probability is spread evenly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from tasks.shared.statistics.log_probabilities import Scores, log_loss, log_softmax, losses
from tasks.shared.statistics.metrics import Floats, Ints


@dataclass(frozen=True)
class Candidate:
    """A member that could join: by how much it lowers the log-loss, with the standard error, in nats per text."""

    member: str
    gain: float
    standard_error: float
    joined: bool


@dataclass(frozen=True)
class Stack:
    """The members that joined, with their weights, and how each of the others fared."""

    weights: Mapping[str, float]
    candidates: Sequence[Candidate]


def combine(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Log-probabilities [texts, labels] of the members `weights` names, from the log-probabilities of each."""
    total: NDArray[np.float64] = np.zeros(next(iter(scores.values())).shape)
    for name, weight in weights.items():
        total += weight * scores[name].astype(np.float64)
    return log_softmax(total)


def fit_weights(scores: Mapping[str, Scores], members: Sequence[str], labels: Ints) -> dict[str, float]:
    """The weights of these members with the lowest smoothed log-loss; a convex problem."""
    from scipy.optimize import minimize

    values = [scores[name].astype(np.float64) for name in members]
    texts, smoothing = np.arange(len(labels)), 1 / (len(labels) + 1)
    targets = np.array([(v[texts, labels] * (1 - smoothing) + v.mean(axis=1) * smoothing).mean() for v in values])

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = np.sum([weight * v for weight, v in zip(weights, values, strict=True)], axis=0)
        highest = logits.max(axis=1, keepdims=True)
        shares = np.exp(logits - highest)
        total = shares.sum(axis=1, keepdims=True)
        shares /= total
        slopes = np.array([(shares * v).sum(axis=1).mean() for v in values]) - targets
        return float((highest + np.log(total)).mean() - weights @ targets), slopes

    start = np.full(len(members), 1 / len(members))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(members)).x
    return {name: float(weight) for name, weight in zip(members, found, strict=True)}


def fit_stack(
    scores: Mapping[str, Scores], labels: Ints, order: Sequence[str], min_standard_errors: float = 2.0
) -> Stack:
    """The best single member, then, in this `order`, each that lowers the mean log-loss clearly.

    Clearly: by `min_standard_errors` of the texts' differences. The scores must be out of fold.
    """
    alone = {name: fit_weights(scores, [name], labels) for name in order}
    best = min(order, key=lambda name: log_loss(combine(scores, alone[name]), labels))
    weights, candidates = alone[best], []
    for name in order:
        if name == best:
            continue
        wider = fit_weights(scores, [*weights, name], labels)
        gains = losses(combine(scores, weights), labels) - losses(combine(scores, wider), labels)
        gain = float(gains.mean())
        error = float(gains.std(ddof=1) / sqrt(len(gains))) if len(gains) > 1 else 0.0
        joined = wider[name] > 0 and gain > min_standard_errors * error
        candidates.append(Candidate(name, gain, error, joined))
        weights = wider if joined else weights
    positive = {name: weight for name, weight in weights.items() if weight > 0}
    return Stack(positive or weights, candidates)


def without_each(
    scores: Mapping[str, Scores], labels: Ints, weights: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """For each member of a stack of two or more, the weights of the others if it is left out."""
    if len(weights) < 2:
        return {}
    return {name: fit_weights(scores, [other for other in weights if other != name], labels) for name in weights}
