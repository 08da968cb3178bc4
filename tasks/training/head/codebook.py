"""Codes for vectors: k-means, whose centres are the words of a bag-of-features model.

Csurka et al. 2004 count visual words of pictures so; here the vectors are what a recurrent layer makes of a token in
its place, and a text becomes the counts of its codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDS = 8
"""Of k-means; later ones move a few of the vectors only."""
VECTORS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Codebook:
    """Centres [codes, features] of vectors that have been shifted by `mean` and divided by `scale` [features]."""

    centres: Tensor
    mean: Tensor
    scale: Tensor

    def codes(self, vectors: Tensor) -> Tensor:
        """The number of the nearest centre of each of the `vectors` [n, features]."""
        return _nearest((vectors - self.mean) / self.scale, self.centres)


def learn_codebook(vectors: Tensor, codes: int, generator: torch.Generator) -> Codebook:
    """k-means (Lloyd) on standardised `vectors` [n, features]; no more codes than there are vectors."""
    mean, scale = vectors.mean(0), vectors.std(0, correction=0) + 1e-6
    standardised = (vectors - mean) / scale
    drawn = torch.randperm(len(vectors), generator=generator)[:codes]
    centres = standardised[drawn.to(vectors.device)]
    for _ in range(ROUNDS):
        nearest = _nearest(standardised, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, standardised)
        counts = torch.bincount(nearest, minlength=len(centres)).unsqueeze(1)
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return Codebook(centres, mean, scale)


def _nearest(vectors: Tensor, centres: Tensor) -> Tensor:
    """By the largest c·v - |c|²/2, which is half of what the distances lack to be equal."""
    half_norms = centres.square().sum(1) / 2
    parts = [(part @ centres.T - half_norms).argmax(1) for part in torch.split(vectors, VECTORS_AT_ONCE)]
    return torch.cat(parts) if parts else vectors.new_empty(0, dtype=torch.long)
