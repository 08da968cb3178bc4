"""The minimal cells written out, differentiated by autograd: the reference for the fast ones."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.training.cells.cells import ScanCell


def plain_cell(cell: ScanCell, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
    """States [time, batch, directions · hidden], one sequence at a time; zeros in the padding."""
    time, batch, _ = inputs.shape
    ends = [time] * batch if lengths is None else lengths.tolist()
    columns = []
    for column, end in enumerate(ends):
        parts = (inputs[:end, column] @ cell.project.weight.T + cell.project.bias).chunk(cell.directions, dim=-1)
        directions = [_plain_scan(part, cell.num_gates, reverse=direction == 1) for direction, part in enumerate(parts)]
        states = torch.cat(directions, dim=-1)
        columns.append(torch.cat([states, states.new_zeros(time - end, states.shape[1])]))
    return torch.stack(columns, dim=1)


def _plain_scan(projected: Tensor, num_gates: int, reverse: bool) -> Tensor:
    """Feng et al. 2024: minGRU, with 1 - z the forget gate, or minLSTM with its two gates divided by their sum."""
    *gates, candidate = projected.chunk(num_gates + 1, dim=-1)
    sigmoids = [torch.sigmoid(gate) for gate in gates]
    forget = sigmoids[0] if num_gates == 1 else sigmoids[0] / (sigmoids[0] + sigmoids[1])
    state, states = torch.zeros_like(candidate[0]), {}
    for step in reversed(range(len(candidate))) if reverse else range(len(candidate)):
        state = states[step] = forget[step] * state + (1 - forget[step]) * candidate[step]
    return torch.stack([states[step] for step in range(len(candidate))])
