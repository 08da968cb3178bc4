"""How sure a measure is: bootstrap intervals over documents, and McNemar's exact test of two classifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tasks.evaluation.metrics import Floats, Ints

BLOCK = 2**20
"""At most this many numbers of a statistic's work are in memory at once."""


def resamples(documents: int, samples: int, seed: int, rows: int) -> Iterator[Ints]:
    """Draws `documents` indices with replacement, `samples` times over, in blocks of at most `rows` resamples.

    The same documents, samples and seed give the same draws, so that measures of two classifiers on the same documents
    are paired.
    """
    generator = np.random.default_rng(seed)
    for first in range(0, samples, rows):
        yield generator.integers(0, documents, (min(rows, samples - first), documents))


def bootstrap(statistic: Callable[[Ints], Floats], documents: int, samples: int, seed: int, numbers: int = 1) -> Floats:
    """The statistic of every resample, [samples, ...]; it maps indices [rows, documents] to values [rows, ...].

    `numbers` is how many numbers the statistic holds for each resample on the way, where that is more than `documents`.
    """
    rows = max(1, BLOCK // max(documents, numbers))
    return np.concatenate([statistic(drawn) for drawn in resamples(documents, samples, seed, rows)])


def interval(values: Floats, point: float, confidence: float) -> tuple[float, float]:
    """Percentile interval of resampled values [samples] around a measure (Efron & Tibshirani 1993, chapter 13).

    Where a skewed measure of very few documents falls outside its own percentiles, the interval is widened to hold it.
    When all documents agree (all right, all wrong), all resamples do too, and the interval is a single point: it then
    says nothing about unseen documents.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return min(float(low), point), max(float(high), point)


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Two-sided exact p-value that two classifiers are right equally often on the same documents.

    McNemar, Psychometrika 1947: of the documents that only one of them gets right, as many should be the first's as
    the second's, so the counts are tested against a binomial distribution with probability one half.
    """
    trials, fewer = only_first_right + only_second_right, min(only_first_right, only_second_right)
    term = total = 1
    for successes in range(fewer):
        term = term * (trials - successes) // (successes + 1)
        total += term
    return min(1.0, float(2 * total / 2**trials))
