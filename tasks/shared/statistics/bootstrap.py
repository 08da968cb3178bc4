"""Uncertainty of a measure: bootstrap intervals over documents, and McNemar's exact test of two classifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from tasks.shared.statistics.metrics import Floats, Ints

MAX_NUMBERS = 2**20
"""Bound on the numbers that a statistic holds in memory at once."""


def resamples(documents: int, samples: int, seed: int, rows: int) -> Iterator[Ints]:
    """Yields `samples` resamples of `documents` indices, drawn with replacement, at most `rows` at a time.

    The same arguments give the same draws whatever `rows` is, so the scores of two classifiers on the same documents
    are paired.
    """
    generator = np.random.default_rng(seed)
    for first in range(0, samples, rows):
        yield generator.integers(0, documents, (min(rows, samples - first), documents))


def bootstrap(statistic: Callable[[Ints], Floats], documents: int, samples: int, seed: int, numbers: int = 1) -> Floats:
    """The statistic of every resample, [samples, ...]; it maps indices [rows, documents] to values [rows, ...].

    `numbers` is how many numbers the statistic holds per resample, if more than `documents`.
    """
    rows = max(1, MAX_NUMBERS // max(documents, numbers))
    return np.concatenate([statistic(drawn) for drawn in resamples(documents, samples, seed, rows)])


def interval(values: Floats, point: float, confidence: float) -> tuple[float, float]:
    """Bias-corrected percentile interval of resampled values [samples] around a measure.

    BCa without acceleration (Efron & Tibshirani 1993, section 14.3): resamples lack rare labels, so their macro-F1 is
    lower than that of the documents, and the percentiles are shifted to correct for it. In simulated test sets with 15
    labels, the interval covered the true macro-F1 in 89 of 100 with 52 documents and in 95 with 250, plain percentiles
    in 87 and 92; acceleration changed nothing. Coverage of the accuracy was 95 and 94.

    Resamples without the measure (NaN) are ignored; scipy.stats.bootstrap would give NaN. If all predictions are right,
    or all are wrong, the interval is a single point and says nothing about unseen documents.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return point, point
    normal = NormalDist()
    below = float((known < point).mean() + (known <= point).mean()) / 2
    edge = 0.5 / len(known)
    bias = normal.inv_cdf(min(max(below, edge), 1 - edge))
    width = normal.inv_cdf((1 + confidence) / 2)
    low, high = np.quantile(known, [normal.cdf(2 * bias - width), normal.cdf(2 * bias + width)])
    return min(float(low), point), max(float(high), point)


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Two-sided exact p-value of the hypothesis that two classifiers have the same accuracy on the same documents.

    McNemar, Psychometrika 1947: a binomial test, with probability one half, on the documents that only one of them
    classifies correctly.
    """
    from scipy.stats import binomtest  # half a second to import; a reused evaluation does not need it

    trials = only_first_right + only_second_right
    return float(binomtest(only_first_right, trials).pvalue) if trials else 1.0
