"""Features of texts for a linear classifier, and sparse products with them.

A feature is the scaled root of a smoothed share: sqrt((n_ij + k p_j) / (N_i + k)) = excess_ij + a_i b_j, where the
excess is zero for a count of zero. So products need only the non-zero counts.
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
"""Pseudo-count k: tokens added to every text, distributed like those of all training texts."""
DENSE = 0.1
"""Share of non-zero counts above which a dense product is faster."""


class Counts(Protocol):
    """Counts [texts, columns]: an array, or something that can be sliced like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Texts and columns."""

    def __getitem__(self, texts: slice, /) -> Any:
        """The rows of these texts, as a dense or sparse array."""


@dataclass(frozen=True)
class Roots:
    """Root shares [texts, columns]: `excess` + `zero` [texts] times `of_prior` [columns]."""

    excess: csr_array
    zero: Floats
    of_prior: Floats


def root_shares(counts: csr_array, prior: Floats) -> Roots:
    """Square roots of each column's share of a text, smoothed by the prior."""
    zero = 1 / np.sqrt(counts.sum(axis=1) + PRIOR)
    text = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    expected = PRIOR * prior[counts.indices]
    values = (np.sqrt(counts.data + expected) - np.sqrt(expected)) * zero[text]
    return Roots(csr_array((values, counts.indices, counts.indptr), shape=counts.shape), zero, np.sqrt(PRIOR * prior))


@dataclass(frozen=True)
class Scaling:
    """The scaling of a block of counts, [columns] each: prior, mean to subtract, weight to multiply with."""

    prior: Floats
    mean: Floats
    weight: Floats


class Features:
    """A matrix [texts, features] of all blocks, concatenated; supports products only."""

    def __init__(self, scalings: Sequence[Scaling], blocks: Sequence[Counts], texts: slice) -> None:
        self._blocks: list[tuple[Scaling, Floats, Floats, Any]] = []
        for scaling, block in zip(scalings, blocks, strict=True):
            roots = root_shares(csr_array(block[texts]), scaling.prior)
            excess = roots.excess.astype(np.float32)
            dense = excess.nnz > DENSE * excess.shape[0] * excess.shape[1]
            self._blocks.append((scaling, roots.zero, roots.of_prior, excess.toarray() if dense else excess))

    def times(self, weights: Floats) -> Floats:
        """Features times `weights` [features, n], as [texts, n]. The sparse part in single precision."""
        products, begin = [], 0
        for scaling, zero, of_prior, excess in self._blocks:
            scaled = scaling.weight[:, None] * weights[begin : begin + len(scaling.weight)]
            begin += len(scaling.weight)
            constant = np.outer(zero, of_prior @ scaled) - scaling.mean @ scaled
            products.append(excess @ scaled.astype(np.float32) + constant)
        total: Floats = np.sum(products, axis=0, dtype=np.float64)
        return total

    def transposed_times(self, values: Floats) -> Floats:
        """The features' transpose times `values` [texts, n], as [features, n]. The sparse part in single precision."""
        single, total = values.astype(np.float32), values.sum(axis=0)
        products = []
        for scaling, zero, of_prior, excess in self._blocks:
            constant = np.outer(of_prior, zero @ values) - np.outer(scaling.mean, total)
            products.append(scaling.weight[:, None] * (excess.T @ single + constant))
        return np.concatenate(products)
