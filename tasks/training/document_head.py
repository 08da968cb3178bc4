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
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SLICE_BYTES = 2**25
"""Of features that are in memory at a time: bounds the memory whatever the number of texts."""
BOUND = 4.0
"""Standard deviations that a count may lie from its mean."""
TEMPERATURES = np.geomspace(1 / 4, 4, 97)


class Counts(Protocol):
    """How often each of some things occurs in each text, [texts, things]: an array, or what is read like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Texts and things."""

    def __getitem__(self, texts: slice, /) -> NDArray[Any]:
        """Of these texts alone."""


@dataclass(frozen=True)
class Scaling:
    """Of one block of counts: what is subtracted, and what the rest is multiplied with, [counts] each."""

    mean: Floats
    inverse_deviation: Floats
    weight: Floats
    """After the bound: the shrinkage, and the block's norm."""

    def __call__(self, counts: NDArray[Any]) -> Floats:
        """Features [texts, counts] of counts [texts, counts]."""
        features = root_frequencies(counts)
        features -= self.mean
        features *= self.inverse_deviation
        np.clip(features, -BOUND, BOUND, out=features)
        features *= self.weight
        return features


@dataclass(frozen=True)
class DocumentHead:
    """Scalings of the blocks, and the regression's weights [labels, counts] and bias [labels]."""

    scalings: Sequence[Scaling]
    weights: Floats
    bias: Floats

    def logits(self, blocks: Sequence[Counts]) -> Floats:
        """Logits [texts, labels] of texts as blocks of counts [texts, counts of the block], a slice at a time."""
        found = np.empty((blocks[0].shape[0], len(self.bias)))
        for some in slices(len(found), self.weights.shape[1]):
            features = [scaling(block[some]) for scaling, block in zip(self.scalings, blocks, strict=True)]
            found[some] = np.concatenate(features, axis=1) @ self.weights.T + self.bias
        return found

    def at(self, temperature: float) -> DocumentHead:
        """The same head with its logits divided by `temperature`."""
        return DocumentHead(self.scalings, self.weights / temperature, self.bias / temperature)


def slices(texts: int, columns: int) -> list[slice]:
    """So many texts one after another, as many at a time as SLICE_BYTES have room for features of."""
    size = max(1, SLICE_BYTES // (8 * columns))
    return [slice(begin, min(begin + size, texts)) for begin in range(0, texts, size)]


def root_frequencies(counts: NDArray[Any]) -> Floats:
    """Square roots of the shares that each count has of its text's."""
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.sqrt(shares, out=shares)


def learn_scaling(block: Counts, labels: NDArray[np.int64]) -> Scaling:
    """The scaling of a block of counts, from training texts with these class ids [texts].

    The mean squared norm of the features is 1. The texts are gone through three times, a slice at a time.
    """
    texts, columns = block.shape
    places = slices(texts, columns)
    mean = sum((root_frequencies(block[some]).sum(axis=0) for some in places), np.zeros(columns)) / texts
    squares = (np.square(root_frequencies(block[some]) - mean).sum(axis=0) for some in places)
    deviation = np.sqrt(sum(squares, np.zeros(columns)) / texts)
    inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9)
    bounded = Scaling(mean, inverse, np.ones(columns))
    groups, group = np.unique(labels, return_inverse=True)
    sums, total = np.zeros((len(groups), columns)), np.zeros(columns)
    for some in places:
        features = bounded(block[some])
        sums += (np.arange(len(groups))[:, None] == group[some]).astype(np.float64) @ features
        total += np.square(features).sum(axis=0)
    weight = _shrinkage(sums, np.bincount(group), total)
    norm = np.sqrt((total * weight**2).sum() / texts)
    return Scaling(mean, inverse, weight / norm if norm > 0 else weight)


def _shrinkage(sums: Floats, sizes: NDArray[np.int64], squares: Floats) -> Floats:
    """max(0, 1 - 1/F) of each feature, with F its variance between labels over that within them.

    From each label's sums of features [labels, features] and number of texts [labels], and all texts' sums of squares.
    """
    groups, texts = len(sizes), sizes.sum()
    if groups < 2 or texts <= groups:
        return np.ones(len(squares))
    means = sums / sizes[:, None]
    between = (sizes[:, None] * (means - sums.sum(axis=0) / texts) ** 2).sum(axis=0) / (groups - 1)
    within = (squares - (sizes[:, None] * means**2).sum(axis=0)) / (texts - groups)
    share = np.divide(within, between, out=np.ones_like(within), where=between > 0)
    kept = np.clip(1 - share, 0, 1)
    kept[kept < 1e-9] = 0  # F is 1 but for rounding
    return kept if kept.any() else np.ones(len(squares))


def learn_head(
    blocks: Sequence[Counts],
    shares: Sequence[float],
    labels: NDArray[np.int64],
    label_count: int,
    strength: float,
    class_weight_power: float,
) -> DocumentHead:
    """The head of `learn_heads` for one choice of shares."""
    return learn_heads(blocks, [shares], labels, label_count, strength, class_weight_power)[0]


def learn_heads(
    blocks: Sequence[Counts],
    choices: Sequence[Sequence[float]],
    labels: NDArray[np.int64],
    label_count: int,
    strength: float,
    class_weight_power: float,
) -> list[DocumentHead]:
    """Fits scalings and regressions to texts as blocks of counts, with class ids [texts]; every label is there.

    There is a head for each of the `choices`, which says how much each block counts: its part of a text's squared norm.
    `strength` is the inverse of the penalty on squared weights; a text weighs count^-power of its label.
    """
    from tasks.training.regression import fit  # scipy, which predicting does without

    scalings = [learn_scaling(block, labels) for block in blocks]
    widths = [block.shape[1] for block in blocks]
    factors = np.sqrt([np.divide(shares, sum(shares)) for shares in choices])
    counts = np.bincount(labels, minlength=label_count)
    label_weights = counts.astype(np.float64) ** -class_weight_power
    text_weights = label_weights[labels]

    def features(texts: slice) -> Floats:
        return np.concatenate([scale(block[texts]) for scale, block in zip(scalings, blocks, strict=True)], axis=1)

    weights, biases = fit(
        features,
        slices(len(labels), sum(widths)),
        np.repeat(factors, widths, axis=1),
        labels,
        text_weights / text_weights.sum(),
        penalty=1 / (strength * len(labels)),
    )
    return [DocumentHead(scalings, *learned) for learned in zip(weights, biases, strict=True)]


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
