"""Vector quantization by k-means: a vector's code is its nearest centre, and a text becomes its counts of codes.

Like the visual words of Csurka et al. 2004; here the vectors are the language model's states of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDS = 8
"""Of k-means; later ones reassign only a few vectors."""
VECTORS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Codebook:
    """Centres [codes, features] of vectors standardised by `mean` and `scale` [features]."""

    centres: Tensor
    mean: Tensor
    scale: Tensor

    def codes(self, vectors: Tensor) -> Tensor:
        """The index of the nearest centre of each vector; `vectors` [n, features]."""
        return _nearest((vectors - self.mean) / self.scale, self.centres)


def fit_codebook(vectors: Tensor, size: int, generator: torch.Generator) -> Codebook:
    """k-means (Lloyd) on standardised `vectors` [n, features]; at most `size` codes, and at most n."""
    mean, scale = vectors.mean(0), vectors.std(0, correction=0) + 1e-6
    standardised = (vectors - mean) / scale
    drawn = torch.randperm(len(vectors), generator=generator)[:size]
    centres = standardised[drawn.to(vectors.device)]
    for _ in range(ROUNDS):
        nearest = _nearest(standardised, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, standardised)
        counts = torch.bincount(nearest, minlength=len(centres)).unsqueeze(1)
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return Codebook(centres, mean, scale)


def _nearest(vectors: Tensor, centres: Tensor) -> Tensor:
    """argmin |v - c|² = argmax (c·v - |c|²/2)."""
    half_norms = centres.square().sum(1) / 2
    nearest = [(some @ centres.T - half_norms).argmax(1) for some in torch.split(vectors, VECTORS_AT_ONCE)]
    return torch.cat(nearest) if nearest else vectors.new_empty(0, dtype=torch.long)
