"""Features of texts for a linear classifier, and products with them that leave zero counts out.

A feature is a scaled root of a text's share of something, its prior among it. For a count of zero that root is a number
of the text times a number of the count: what is left when it is taken away is as sparse as the counts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]
PRIOR = 30.0
"""Tokens that every text has beside its own, spread like those of all training texts."""
DENSE = 0.1
"""Share of counts above zero from which a matrix with all its zeros is the faster one to multiply with."""


class Counts(Protocol):
    """How often each of some things occurs in each text, [texts, things]: an array, or what is read like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Texts and things."""

    def __getitem__(self, texts: slice, /) -> Any:
        """Of these texts alone, an array or a sparse one."""


@dataclass(frozen=True)
class Roots:
    """Root shares [texts, counts]: `excess` + `zero` [texts] times `of_prior` [counts]."""

    excess: csr_array
    zero: Floats
    of_prior: Floats


def root_shares(counts: csr_array, prior: Floats) -> Roots:
    """Square roots of the shares that each count has of its text's, the prior's tokens among them."""
    zero = 1 / np.sqrt(counts.sum(axis=1) + PRIOR)
    text = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    expected = PRIOR * prior[counts.indices]
    values = (np.sqrt(counts.data + expected) - np.sqrt(expected)) * zero[text]
    return Roots(csr_array((values, counts.indices, counts.indptr), shape=counts.shape), zero, np.sqrt(PRIOR * prior))


@dataclass(frozen=True)
class Scaling:
    """Of one block of counts, [counts] each: the prior, what is subtracted, and what the rest is multiplied with."""

    prior: Floats
    mean: Floats
    weight: Floats


class Features:
    """Of some texts [texts, features], the blocks side by side: to be multiplied with, and nothing else."""

    def __init__(self, scalings: Sequence[Scaling], blocks: Sequence[Counts], texts: slice) -> None:
        self._parts: list[tuple[Scaling, Floats, Floats, Any]] = []
        for scaling, block in zip(scalings, blocks, strict=True):
            roots = root_shares(csr_array(block[texts]), scaling.prior)
            excess = roots.excess.astype(np.float32)
            dense = excess.nnz > DENSE * excess.shape[0] * excess.shape[1]
            self._parts.append((scaling, roots.zero, roots.of_prior, excess.toarray() if dense else excess))

    def times(self, weights: Floats) -> Floats:
        """Features times `weights` [features, n], as [texts, n]. The sparse part in single precision."""
        found, begin = [], 0
        for scaling, zero, of_prior, excess in self._parts:
            mine = scaling.weight[:, None] * weights[begin : begin + len(scaling.weight)]
            begin += len(scaling.weight)
            constant = np.outer(zero, of_prior @ mine) - scaling.mean @ mine
            found.append(excess @ mine.astype(np.float32) + constant)
        total: Floats = np.sum(found, axis=0, dtype=np.float64)
        return total

    def transposed_times(self, values: Floats) -> Floats:
        """The features' transpose times `values` [texts, n], as [features, n]. The sparse part in single precision."""
        single, total = values.astype(np.float32), values.sum(axis=0)
        found = []
        for scaling, zero, of_prior, excess in self._parts:
            constant = np.outer(of_prior, zero @ values) - np.outer(scaling.mean, total)
            found.append(scaling.weight[:, None] * (excess.T @ single + constant))
        return np.concatenate(found)
