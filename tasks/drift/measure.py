"""How far texts have moved from others: labels, lengths, rare tokens, the distribution of tokens.

Every figure goes from 0, which is alike, to 1. Small samples differ by chance alone: two halves of one corpus do not
give 0, the less so the fewer tokens they have.
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
    """What is compared of a collection of texts."""

    labels: Mapping[str, int]
    lengths: Counts
    """Characters of each text."""
    tokens: Counts
    """How often each token of the champion's vocabulary occurs."""

    @property
    def documents(self) -> int:
        """Number of texts."""
        return len(self.lengths)


@dataclass(frozen=True)
class Shifts:
    """How far the texts have moved."""

    label_shift: float
    length_shift: float
    rare_rise: float
    token_divergence: float


def shifts(then: Profile, now: Profile, rare_count: int) -> Shifts:
    """The figures of today's texts beside those of the training texts; a rare share that fell counts as 0.

    Where there are no texts today, nothing has moved.
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
    """Kolmogorov-Smirnov distance: the largest difference of the shares of texts up to a length."""
    if not len(then) or not len(now):
        return 0.0
    lengths = np.union1d(then, now)
    before, after = (np.searchsorted(np.sort(some), lengths, side="right") / len(some) for some in (then, now))
    return float(np.abs(before - after).max())


def rare_share(then: Profile, texts: Profile, rare_count: int) -> float:
    """Share of the texts' tokens that the training texts use fewer than `rare_count` times."""
    return float(shares(texts.tokens)[then.tokens < rare_count].sum())


def divergence_terms(then: Counts, now: Counts) -> Floats:
    """What each token adds to the Jensen-Shannon divergence in base 2 (Lin 1991); the sum is between 0 and 1."""
    before, after = shares(then), shares(now)
    middle = (before + after) / 2
    return (_relative(before, middle) + _relative(after, middle)) / 2


def most_moved(then: Counts, now: Counts, count: int) -> Sequence[int]:
    """The tokens that add most to the divergence, the first one most."""
    terms = divergence_terms(then, now)
    order = np.argsort(-terms, kind="stable")[:count]
    return [int(token) for token in order if terms[token] > 0]


def shares(counts: Counts) -> Floats:
    """Counts as shares of their sum; zeros where there is nothing."""
    return np.asarray(counts / max(1, counts.sum()), np.float64)


def _relative(shares: Floats, middle: Floats) -> Floats:
    """The terms p · log2(p / m), 0 where p is 0."""
    ratio = np.divide(shares, middle, out=np.ones_like(shares), where=shares > 0)
    return shares * np.log2(ratio)
