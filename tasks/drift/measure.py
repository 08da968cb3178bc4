"""Measures of drift between two collections of texts: labels, lengths, rare tokens, the distribution of tokens.

Every figure ranges from 0 (no drift) to 1. Small samples differ by chance: two halves of one corpus do not give 0, and
the fewer tokens they have, the larger the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """The compared statistics of a collection of texts."""

    labels: Mapping[str, int]
    lengths: Counts
    """Characters of each text."""
    tokens: Counts
    """Count of each token of the champion's vocabulary."""

    @property
    def documents(self) -> int:
        """Number of texts."""
        return len(self.lengths)


@dataclass(frozen=True)
class Shifts:
    """The figures of drift, each from 0 to 1."""

    label_shift: float
    length_shift: float
    rare_rise: float
    token_divergence: float


def shifts(then: Profile, now: Profile, rare_count: int) -> Shifts:
    """Drift from the training texts to today's; a fall of the rare share counts as 0.

    All figures are 0 if there are no texts today.
    """
    if not now.documents:
        return Shifts(0.0, 0.0, 0.0, 0.0)
    return Shifts(
        label_shift=label_shift(then.labels, now.labels),
        length_shift=length_shift(then.lengths, now.lengths),
        rare_rise=max(0.0, rare_share(then, now, rare_count) - rare_share(then, then, rare_count)),
        token_divergence=float(divergence_terms(then.tokens, now.tokens).sum()),
    )


def label_shift(then: Mapping[str, int], now: Mapping[str, int]) -> float:
    """Total variation distance of the label shares: half the sum of their differences."""
    names = sorted({*then, *now})
    before, after = (shares(np.array([counts.get(name, 0) for name in names])) for counts in (then, now))
    return float(np.abs(before - after).sum() / 2)


def length_shift(then: Counts, now: Counts) -> float:
    """Kolmogorov-Smirnov distance: the largest difference of the cumulative distributions of lengths."""
    if not len(then) or not len(now):
        return 0.0
    lengths = np.union1d(then, now)
    before, after = (np.searchsorted(np.sort(some), lengths, side="right") / len(some) for some in (then, now))
    return float(np.abs(before - after).max())


def rare_share(then: Profile, texts: Profile, rare_count: int) -> float:
    """Share of the texts' tokens that the training texts use fewer than `rare_count` times."""
    return float(shares(texts.tokens)[then.tokens < rare_count].sum())


def divergence_terms(then: Counts, now: Counts) -> Floats:
    """Each token's contribution to the Jensen-Shannon divergence in base 2 (Lin 1991); the sum is between 0 and 1."""
    before, after = shares(then), shares(now)
    middle = (before + after) / 2
    return (_relative(before, middle) + _relative(after, middle)) / 2


def most_moved(then: Counts, now: Counts, count: int) -> Sequence[int]:
    """The tokens that contribute most to the divergence, largest first."""
    terms = divergence_terms(then, now)
    order = np.argsort(-terms, kind="stable")[:count]
    return [int(token) for token in order if terms[token] > 0]


def shares(counts: Counts) -> Floats:
    """Counts as shares of their sum; zeros if all are zero."""
    return np.asarray(counts / max(1, counts.sum()), np.float64)


def _relative(shares: Floats, middle: Floats) -> Floats:
    """The terms p · log2(p / m), 0 where p is 0."""
    ratio = np.divide(shares, middle, out=np.ones_like(shares), where=shares > 0)
    return shares * np.log2(ratio)
