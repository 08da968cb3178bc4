"""A linear classifier of texts by blocks of counts: of their tokens, and of the codes of their states.

With few texts and thousands of columns, the scaling of the counts decides. The square root of relative frequencies
equalises their noise (the Hellinger distance), and a prior keeps short texts from looking extreme. Dividing by a power
of the deviation gives rare columns a weight between their own (0) and that of frequent ones (1). Columns in which the
labels hardly differ are shrunk by the share of their variance that chance explains (1 - 1/F of a one-way analysis of
variance, James-Stein). Each block of counts has a norm of its own. A multinomial logistic regression classifies the
result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.training.head.count_store import mean_row_size, row_blocks
from tasks.training.head.features import Counts, Features, Floats, Scaling, root_shares
from tasks.training.head.regression import Regression

ROW_BLOCKS_KEPT = 16
"""Row blocks whose features stay in memory; the others are computed again at each pass."""
TEMPERATURES = np.geomspace(1 / 4, 4, 97)


@dataclass(frozen=True)
class HeadConfig:
    """What validation selects."""

    shares: tuple[float, ...]
    """Weight of each block: its share of a text's squared norm."""
    inverse_regularization: float
    """C of the logistic regression."""
    exponent: float = 0.75
    """Counts are divided by their deviation to this power."""


@dataclass(frozen=True)
class DocumentHead:
    """Scalings of the blocks, and the regression's weights [labels, columns] and bias [labels]."""

    scalings: Sequence[Scaling]
    weights: Floats
    bias: Floats

    def logits(self, blocks: Sequence[Counts]) -> Floats:
        """Logits [texts, labels] of blocks of counts [texts, columns of the block], by blocks of rows."""
        logits = np.empty((blocks[0].shape[0], len(self.bias)))
        for rows in row_blocks(len(logits), mean_row_size(blocks)):
            logits[rows] = Features(self.scalings, blocks, rows).times(self.weights.T) + self.bias
        return logits

    def at(self, temperature: float) -> DocumentHead:
        """This head with its logits divided by `temperature`."""
        return DocumentHead(self.scalings, self.weights / temperature, self.bias / temperature)


def fit_scaling(block: Counts, labels: NDArray[np.int64], exponent: float) -> Scaling:
    """The scaling of a block of counts [texts, columns], fitted to texts with these class ids [texts] in two passes.

    Counts are divided by their deviation to the power of `exponent`. The mean squared norm of the features is 1.
    """
    texts, columns = block.shape
    slices = row_blocks(texts, mean_row_size([block]))
    counted = sum((csr_array(block[rows]).sum(axis=0) for rows in slices), np.zeros(columns))
    prior = counted / max(counted.sum(), 1)
    groups, group = np.unique(labels, return_inverse=True)
    sums, squares = np.zeros((len(groups), columns)), np.zeros(columns)
    for rows in slices:
        roots = root_shares(csr_array(block[rows]), prior)
        member = (group[rows, None] == np.arange(len(groups))).astype(np.float64)
        sums += (roots.excess.T @ member).T + np.outer(roots.zero @ member, roots.of_prior)
        crossed = 2 * (roots.excess.T @ roots.zero) * roots.of_prior
        squares += roots.excess.power(2).sum(axis=0) + crossed + (roots.zero @ roots.zero) * roots.of_prior**2
    mean = sums.sum(axis=0) / texts
    deviation = np.sqrt(np.maximum(squares / texts - mean**2, 0))
    deviation[deviation < 1e-7 * np.sqrt(squares / texts)] = 0  # constant except for rounding
    weight = np.divide(1.0, deviation**exponent, out=np.zeros(columns), where=deviation > 0)
    weight *= _shrinkage(sums, np.bincount(group), squares)
    norm = np.sqrt(((weight * deviation) ** 2).sum())
    return Scaling(prior, mean, weight / norm if norm > 0 else weight)


def _shrinkage(sums: Floats, sizes: NDArray[np.int64], squares: Floats) -> Floats:
    """max(0, 1 - 1/F) of each column; F is its variance between labels over that within labels.

    `sums` [labels, columns] and `sizes` [labels] are each label's sums and number of texts, `squares` [columns] the
    sums of squares over all texts.
    """
    groups, texts = len(sizes), sizes.sum()
    if groups < 2 or texts <= groups:
        return np.ones(len(squares))
    means = sums / sizes[:, None]
    between = (sizes[:, None] * (means - sums.sum(axis=0) / texts) ** 2).sum(axis=0) / (groups - 1)
    within = (squares - (sizes[:, None] * means**2).sum(axis=0)) / (texts - groups)
    share = np.divide(within, between, out=np.ones_like(within), where=between > 0)
    kept = np.clip(1 - share, 0, 1)
    kept[kept < 1e-9] = 0  # F is 1 except for rounding
    return kept if kept.any() else np.ones(len(squares))


def fit_head(
    blocks: Sequence[Counts],
    shares: Sequence[float],
    labels: NDArray[np.int64],
    label_count: int,
    inverse_regularization: float,
    class_weight_power: float,
) -> DocumentHead:
    """The head of `fit_heads` for one config."""
    return next(
        fit_heads(blocks, [HeadConfig(tuple(shares), inverse_regularization)], labels, label_count, class_weight_power)
    )


def fit_heads(
    blocks: Sequence[Counts],
    configs: Sequence[HeadConfig],
    labels: NDArray[np.int64],
    label_count: int,
    class_weight_power: float,
) -> Iterator[DocumentHead]:
    """Fits scalings, and a regression for each config in turn, to blocks of counts of texts with class ids [texts].

    Every label occurs; a text has the weight count^-power of its label.
    """
    widths = [block.shape[1] for block in blocks]
    label_weights = np.bincount(labels, minlength=label_count).astype(np.float64) ** -class_weight_power
    text_weights = label_weights[labels]
    slices = row_blocks(len(labels), mean_row_size(blocks))
    start = np.zeros((label_count, sum(widths) + 1))
    for exponent, group in groupby(configs, lambda config: config.exponent):
        scalings = [fit_scaling(block, labels, exponent) for block in blocks]
        features = _features(scalings, blocks, slices)
        for config in group:
            factors = np.repeat(np.sqrt(np.divide(config.shares, sum(config.shares))), widths)
            penalty = 1 / (config.inverse_regularization * len(labels))
            regression = Regression(features, slices, factors, labels, text_weights / text_weights.sum(), penalty)
            start = regression.fit(start)
            yield DocumentHead(scalings, start[:, :-1] * factors, start[:, -1])


def _features(
    scalings: Sequence[Scaling], blocks: Sequence[Counts], slices: Sequence[slice]
) -> Callable[[int], Features]:
    """A function that gives the features of a row block by its number; it keeps the first ones in memory."""
    kept: dict[int, Features] = {}

    def of(number: int) -> Features:
        features = kept.get(number) or Features(scalings, blocks, slices[number])
        if len(kept) < ROW_BLOCKS_KEPT:
            kept[number] = features
        return features

    return of


def best_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The divisor of logits [texts, labels] with the lowest log-loss (Guo et al. 2017, arXiv 1706.04599).

    Between 1/4 and 4: a handful of texts may be separable, and would ask for zero.
    """
    losses = [-log_softmax(logits / t)[np.arange(len(labels)), labels].mean() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities [texts, labels]; a row's probabilities sum to one."""
    highest = logits.max(axis=1, keepdims=True)
    log_probabilities: Floats = logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
    return log_probabilities
