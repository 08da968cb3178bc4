"""A linear classifier of texts that are given as counts: of their tokens, and of the codes of what was read.

With some hundreds of texts and some thousands of counts, what decides is how they are scaled. The square root of
relative frequencies makes their noise alike (it is the Hellinger distance's map); standardising weighs a rare count
like a frequent one; a bound keeps single texts from deciding; counts that labels do not differ in are shrunk by the
share of their variance that chance explains (1 - 1/F of a one-way analysis of variance, James-Stein); and each block
of counts has a norm of its own. On top stands multinomial logistic regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BOUND = 4.0
"""Standard deviations that a count may lie from its mean."""
TEMPERATURES = np.geomspace(1 / 4, 4, 97)


@dataclass(frozen=True)
class Scaling:
    """Of one block of counts: what is subtracted, and what the rest is multiplied with, [counts] each."""

    mean: Floats
    inverse_deviation: Floats
    weight: Floats
    """After the bound: the shrinkage, and the block's norm."""

    def __call__(self, counts: Floats) -> Floats:
        """Features [texts, counts] of counts [texts, counts]."""
        bounded = np.clip((root_frequencies(counts) - self.mean) * self.inverse_deviation, -BOUND, BOUND)
        scaled: Floats = bounded * self.weight
        return scaled


@dataclass(frozen=True)
class DocumentHead:
    """Scalings of the blocks, and the regression's weights [labels, counts] and bias [labels]."""

    scalings: Sequence[Scaling]
    weights: Floats
    bias: Floats

    def logits(self, blocks: Sequence[Floats]) -> Floats:
        """Logits [texts, labels] of texts as blocks of counts [texts, counts of the block]."""
        features = [scaling(block) for scaling, block in zip(self.scalings, blocks, strict=True)]
        found: Floats = np.concatenate(features, axis=1) @ self.weights.T + self.bias
        return found

    def at(self, temperature: float) -> DocumentHead:
        """The same head with its logits divided by `temperature`."""
        return DocumentHead(self.scalings, self.weights / temperature, self.bias / temperature)


def root_frequencies(counts: Floats) -> Floats:
    """Square roots of the shares that each count has of its text's."""
    shares: Floats = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    return shares


def learn_scaling(counts: Floats, labels: NDArray[np.int64], share: float) -> Scaling:
    """The scaling of a block of counts [texts, counts], from training texts with these class ids [texts].

    The mean squared norm of the features is `share`.
    """
    roots = root_frequencies(counts)
    mean, deviation = roots.mean(axis=0), roots.std(axis=0)
    inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9)
    bounded = np.clip((roots - mean) * inverse, -BOUND, BOUND)
    weight = _shrinkage(bounded, labels)
    norm = np.sqrt(((bounded * weight) ** 2).sum(axis=1).mean())
    return Scaling(mean, inverse, weight * np.sqrt(share) / norm if norm > 0 else weight)


def _shrinkage(features: Floats, labels: NDArray[np.int64]) -> Floats:
    """max(0, 1 - 1/F) of each feature, with F its variance between labels over that within them."""
    groups = np.unique(labels)
    if len(groups) < 2 or len(labels) <= len(groups):
        return np.ones(features.shape[1])
    member = (labels[:, None] == groups).astype(np.float64)
    sizes = member.sum(axis=0)
    means = (member.T @ features) / sizes[:, None]
    between = (sizes[:, None] * (means - features.mean(axis=0)) ** 2).sum(axis=0) / (len(groups) - 1)
    within = ((features - member @ means) ** 2).sum(axis=0) / (len(labels) - len(groups))
    share = np.divide(within, between, out=np.ones_like(within), where=between > 0)
    kept: Floats = np.maximum(1 - share, 0)
    return kept if kept.any() else np.ones(features.shape[1])


def learn_head(
    blocks: Sequence[Floats],
    shares: Sequence[float],
    labels: NDArray[np.int64],
    label_count: int,
    strength: float,
    class_weight_power: float,
) -> DocumentHead:
    """Fits scalings and regression to texts as blocks of counts, with class ids [texts]; every label is there.

    `shares` say how much each block counts: its part of a text's squared norm. `strength` is the inverse of the penalty
    on squared weights; a text weighs count^-power of its label.
    """
    from sklearn.linear_model import LogisticRegression  # predicting does without it

    scalings = [learn_scaling(block, labels, share / sum(shares)) for block, share in zip(blocks, shares, strict=True)]
    features = np.concatenate([scaling(block) for scaling, block in zip(scalings, blocks, strict=True)], axis=1)
    # The best weights are a mixture of the texts' features: with fewer texts than features, solve for that mixture.
    basis = np.linalg.svd(features, full_matrices=False)[2] if len(features) < features.shape[1] else None
    counts = np.bincount(labels, minlength=label_count)
    weights = counts.astype(np.float64) ** -class_weight_power
    weights *= counts.sum() / (weights * counts).sum()
    regression = LogisticRegression(C=strength, class_weight=dict(enumerate(weights)), tol=1e-6, max_iter=1000)
    regression.fit(features if basis is None else features @ basis.T, labels)
    found = regression.coef_ if basis is None else regression.coef_ @ basis
    bias = regression.intercept_
    if label_count == 2:  # scikit-learn then keeps the second label's side alone
        found, bias = np.concatenate([-found, found]) / 2, np.concatenate([-bias, bias]) / 2
    return DocumentHead(scalings, found, bias)


def best_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """What to divide logits [texts, labels] by, so that their log-loss is lowest (Guo et al. 2017, arXiv 1706.04599).

    Between 1/4 and 4: a handful of texts can be told without any doubt, and would ask for zero.
    """
    losses = [-log_softmax(logits / t)[np.arange(len(labels)), labels].mean() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities [texts, labels]; a row's probabilities sum to one."""
    highest = logits.max(axis=1, keepdims=True)
    found: Floats = logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
    return found
