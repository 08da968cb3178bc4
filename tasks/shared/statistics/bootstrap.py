"""How sure a measure is: bootstrap intervals over documents, and McNemar's exact test of two classifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from tasks.shared.statistics.metrics import Floats, Ints

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
    """Bias-corrected percentile interval of resampled values [samples] around a measure.

    BCa without acceleration (Efron & Tibshirani 1993, section 14.3): resampling loses rare labels, so macro-F1 of the
    resamples lies below that of the documents, and the percentiles are moved by as much. Of simulated test sets with
    15 labels, it held the true macro-F1 in 89 of 100 with 52 documents and in 95 with 250, plain percentiles in 87
    and 92; acceleration changed nothing. Accuracy was held in 95 and 94.

    Resamples in which the measure does not exist (NaN) are left out. When all documents agree (all right, all wrong),
    all resamples do too, and the interval is a single point: it then says nothing about unseen documents.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return point, point
    normal = NormalDist()
    below = float((known < point).mean() + (known <= point).mean()) / 2
    edge = 0.5 / len(known)
    bias = normal.inv_cdf(min(max(below, edge), 1 - edge))
    reach = normal.inv_cdf((1 + confidence) / 2)
    low, high = np.quantile(known, [normal.cdf(2 * bias - reach), normal.cdf(2 * bias + reach)])
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
