"""How the minimal cells on a CPU cut time into blocks, and the memory that the blocks reuse (see scan_cpu.py)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK_ROWS = 512
"""Steps of a block times sequences: taller products are not faster, and a block of this size fits in the cache."""


@dataclass(frozen=True)
class ScanPlan:
    """Sizes of one layer's call, and the dtype of its matrix products."""

    time: int
    batch: int
    hidden: int
    num_gates: int
    directions: int
    product_dtype: torch.dtype

    @property
    def dtype(self) -> torch.dtype:
        """Of gates and states: at least float32, because a state sums many small terms."""
        return torch.promote_types(self.product_dtype, torch.float32)

    def blocks(self) -> list[list[slice]]:
        """Blocks in scan order, each a slice of time per direction: forward from the start, backward from the end."""
        steps = max(1, BLOCK_ROWS // self.batch)
        ends = [(start, min(self.time, start + steps)) for start in range(0, self.time, steps)]
        return [[slice(*end), slice(self.time - end[1], self.time - end[0])][: self.directions] for end in ends]

    def rows(self, block: list[slice]) -> int:
        """Rows of a block's matrix product."""
        return len(range(block[0].start, block[0].stop)) * self.batch

    def direction_view(self, states: Tensor, direction: int, steps: slice, ahead: int = 0) -> Tensor:
        """A direction's [steps, batch, hidden] of `states` [time, batch, directions · hidden], `ahead` steps later."""
        features = slice(direction * self.hidden, (direction + 1) * self.hidden)
        return states[steps.start + ahead : steps.stop + ahead, :, features]

    def steps(self, block: Tensor) -> list[Tensor]:
        """Views [directions, batch, width] of a block's steps in scan order.

        A view pairs the forward direction's step from the start with the backward direction's step from the end. The
        forward values precede the backward ones in memory, so one stride spans both and one operation computes both.
        """
        jump, row, column = block.stride()
        shape, step, start = (self.directions, self.batch, block.shape[2]), row * self.batch, block.storage_offset()
        last = block.shape[1] // self.batch - 1
        return [
            block.as_strided(shape, (jump + (last - 2 * index) * step, row, column), start + index * step)
            for index in range(last + 1)
        ]


class ForwardWorkspace:
    """Buffers of the forward pass, for blocks of `rows` rows."""

    def __init__(self, plan: ScanPlan, rows: int) -> None:
        width = (plan.num_gates + 1) * plan.hidden
        self.projected = torch.empty(plan.directions, rows, width, dtype=plan.dtype)
        self.states = torch.empty(plan.directions, rows, plan.hidden, dtype=plan.dtype)
        self.candidate_steps = plan.steps(self.projected[..., -plan.hidden :])
        self.state_steps = plan.steps(self.states)


class BackwardWorkspace:
    """Buffers of the backward pass, for blocks of `rows` rows."""

    def __init__(self, plan: ScanPlan, rows: int) -> None:
        width = (plan.num_gates + 1) * plan.hidden
        self.grad_states, self.difference = torch.empty(2, plan.directions, rows, plan.hidden, dtype=plan.dtype)
        self.grad_projection = torch.empty(plan.directions, rows, width, dtype=plan.dtype)
        self.grad_steps = plan.steps(self.grad_states)
