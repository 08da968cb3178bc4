"""A linear classifier of texts that are given as counts: of their tokens, and of the codes of what was read.

With few texts and thousands of counts, what decides is how they are scaled. The square root of relative frequencies
makes their noise alike (it is the Hellinger distance's map), and a prior keeps short texts from looking extreme.
Dividing by a power of the deviation weighs rare counts between as they come (0) and as much as frequent ones (1);
counts that labels do not differ in are shrunk by the share of their variance that chance explains (1 - 1/F of a one-way
analysis of variance, James-Stein); and each block of counts has a norm of its own. On top stands multinomial logistic
regression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.training.head.count_store import room_of, slices
from tasks.training.head.features import Counts, Features, Floats, Scaling, root_shares
from tasks.training.head.regression import Regression

SLICES_KEPT = 16
"""Slices whose features stay in memory; those of the others are made again each time."""
TEMPERATURES = np.geomspace(1 / 4, 4, 97)


@dataclass(frozen=True)
class Choice:
    """What is chosen of a head."""

    shares: tuple[float, ...]
    """How much each block counts: its part of a text's squared norm."""
    strength: float
    """The inverse of the penalty on squared weights."""
    exponent: float = 0.75
    """The power of its deviation that a count is divided by."""


@dataclass(frozen=True)
class DocumentHead:
    """Scalings of the blocks, and the regression's weights [labels, counts] and bias [labels]."""

    scalings: Sequence[Scaling]
    weights: Floats
    bias: Floats

    def logits(self, blocks: Sequence[Counts]) -> Floats:
        """Logits [texts, labels] of texts as blocks of counts [texts, counts of the block], a slice at a time."""
        found = np.empty((blocks[0].shape[0], len(self.bias)))
        for some in slices(len(found), room_of(blocks)):
            found[some] = Features(self.scalings, blocks, some).times(self.weights.T) + self.bias
        return found

    def at(self, temperature: float) -> DocumentHead:
        """The same head with its logits divided by `temperature`."""
        return DocumentHead(self.scalings, self.weights / temperature, self.bias / temperature)


def learn_scaling(block: Counts, labels: NDArray[np.int64], exponent: float) -> Scaling:
    """The scaling of a block of counts, from training texts with these class ids [texts].

    A count is divided by its deviation to the power of `exponent`. The mean squared norm of the features is 1. The
    texts are gone through twice, a slice at a time.
    """
    texts, columns = block.shape
    places = slices(texts, room_of([block]))
    counted = sum((csr_array(block[some]).sum(axis=0) for some in places), np.zeros(columns))
    prior = counted / max(counted.sum(), 1)
    groups, group = np.unique(labels, return_inverse=True)
    sums, squares = np.zeros((len(groups), columns)), np.zeros(columns)
    for some in places:
        roots = root_shares(csr_array(block[some]), prior)
        member = (group[some, None] == np.arange(len(groups))).astype(np.float64)
        sums += (roots.excess.T @ member).T + np.outer(roots.zero @ member, roots.of_prior)
        crossed = 2 * (roots.excess.T @ roots.zero) * roots.of_prior
        squares += roots.excess.power(2).sum(axis=0) + crossed + (roots.zero @ roots.zero) * roots.of_prior**2
    mean = sums.sum(axis=0) / texts
    deviation = np.sqrt(np.maximum(squares / texts - mean**2, 0))
    deviation[deviation < 1e-7 * np.sqrt(squares / texts)] = 0  # the same in all texts but for rounding
    weight = np.divide(1.0, deviation**exponent, out=np.zeros(columns), where=deviation > 0)
    weight *= _shrinkage(sums, np.bincount(group), squares)
    norm = np.sqrt(((weight * deviation) ** 2).sum())
    return Scaling(prior, mean, weight / norm if norm > 0 else weight)


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
    """The head of `learn_heads` for one choice."""
    return next(learn_heads(blocks, [Choice(tuple(shares), strength)], labels, label_count, class_weight_power))


def learn_heads(
    blocks: Sequence[Counts],
    choices: Sequence[Choice],
    labels: NDArray[np.int64],
    label_count: int,
    class_weight_power: float,
) -> Iterator[DocumentHead]:
    """Fits scalings, and a regression for each choice in turn, to texts as blocks of counts, with class ids [texts].

    Every label is there; a text weighs count^-power of its label.
    """
    widths = [block.shape[1] for block in blocks]
    label_weights = np.bincount(labels, minlength=label_count).astype(np.float64) ** -class_weight_power
    text_weights = label_weights[labels]
    places = slices(len(labels), room_of(blocks))
    start = np.zeros((label_count, sum(widths) + 1))
    for exponent, alike in groupby(choices, lambda choice: choice.exponent):
        scalings = [learn_scaling(block, labels, exponent) for block in blocks]
        features = _features(scalings, blocks, places)
        for choice in alike:
            factors = np.repeat(np.sqrt(np.divide(choice.shares, sum(choice.shares))), widths)
            penalty = 1 / (choice.strength * len(labels))
            regression = Regression(features, places, factors, labels, text_weights / text_weights.sum(), penalty)
            start = regression.fit(start)
            yield DocumentHead(scalings, start[:, :-1] * factors, start[:, -1])


def _features(
    scalings: Sequence[Scaling], blocks: Sequence[Counts], places: Sequence[slice]
) -> Callable[[int], Features]:
    """Those of each slice of texts; of the first ones they stay in memory."""
    made: dict[int, Features] = {}

    def of(number: int) -> Features:
        found = made.get(number) or Features(scalings, blocks, places[number])
        if len(made) < SLICES_KEPT:
            made[number] = found
        return found

    return of


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
