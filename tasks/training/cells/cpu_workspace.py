"""How the minimal cells on a CPU cut the time into blocks, and the memory that blocks use in turn (scan_blocks.py)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 512
"""Steps of a block times sequences: products this tall are as fast as taller ones, and a block fits in the cache."""


@dataclass(frozen=True)
class Layer:
    """Sizes of one layer's call; `product` is the dtype of its matrix products."""

    time: int
    batch: int
    hidden: int
    gates: int
    directions: int
    product: torch.dtype

    @property
    def dtype(self) -> torch.dtype:
        """What gates and states are computed in: at least float32, for a state is the sum of many small parts."""
        return torch.promote_types(self.product, torch.float32)

    def blocks(self) -> list[list[slice]]:
        """Blocks in the order of the scan: each direction's part of the time, from the front and from behind."""
        steps = max(1, ROWS // self.batch)
        ends = [(start, min(self.time, start + steps)) for start in range(0, self.time, steps)]
        return [[slice(*end), slice(self.time - end[1], self.time - end[0])][: self.directions] for end in ends]

    def rows(self, block: list[slice]) -> int:
        """Rows of a block's matrix product."""
        return len(range(block[0].start, block[0].stop)) * self.batch

    def lane(self, states: Tensor, direction: int, part: slice, ahead: int = 0) -> Tensor:
        """A direction's [steps, batch, hidden] of `states` [time, batch, directions · hidden], `ahead` steps later."""
        features = slice(direction * self.hidden, (direction + 1) * self.hidden)
        return states[part.start + ahead : part.stop + ahead, :, features]

    def steps(self, block: Tensor) -> list[Tensor]:
        """Views [directions, batch, width] of a block's steps in the order of the scan.

        Beside the forward direction's step from the front stands the backward one's from behind. All of the one lies
        in memory before all of the other, so a stride leads from step to step, and one operation computes both.
        """
        jump, row, column = block.stride()
        shape, step, start = (self.directions, self.batch, block.shape[2]), row * self.batch, block.storage_offset()
        last = block.shape[1] // self.batch - 1
        return [
            block.as_strided(shape, (jump + (last - 2 * index) * step, row, column), start + index * step)
            for index in range(last + 1)
        ]


class ForwardMemory:
    """What blocks of as many rows need on the way forth."""

    def __init__(self, layer: Layer, rows: int) -> None:
        width = (layer.gates + 1) * layer.hidden
        self.projected = torch.empty(layer.directions, rows, width, dtype=layer.dtype)
        self.states = torch.empty(layer.directions, rows, layer.hidden, dtype=layer.dtype)
        self.candidate_steps = layer.steps(self.projected[..., -layer.hidden :])
        self.state_steps = layer.steps(self.states)


class BackwardMemory:
    """The same for the way back."""

    def __init__(self, layer: Layer, rows: int) -> None:
        width = (layer.gates + 1) * layer.hidden
        self.gradient, self.change = torch.empty(2, layer.directions, rows, layer.hidden, dtype=layer.dtype)
        self.by_product = torch.empty(layer.directions, rows, width, dtype=layer.dtype)
        self.gradient_steps = layer.steps(self.gradient)
