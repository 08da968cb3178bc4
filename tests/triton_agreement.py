"""Compares the Triton kernels, in Triton's interpreter on the CPU, with the plain cells; a test runs it.

It is a process of its own because TRITON_INTERPRET=1 must be set before Triton is loaded.
"""

from __future__ import annotations

import torch
from plain_cells import plain_cell

from tasks.training.cells import scan_triton
from tasks.training.cells.cells import ScanCell, token_mask


def check(gates: int, bidirectional: bool, time: int, lengths: list[int], hidden: int, dtype: torch.dtype) -> None:
    torch.manual_seed(time)
    cell = ScanCell(gates, 4, hidden, bidirectional).double()
    inputs = torch.randn(time, len(lengths), 4, dtype=torch.float64)
    ends = torch.tensor(lengths)
    projected = cell.project(inputs).to(dtype).detach().requires_grad_()
    exact = projected.detach().double().requires_grad_()
    mask = token_mask(time, ends, exact.device).unsqueeze(-1)
    outcomes = []
    for source, states in (
        (projected, scan_triton.scan_gates(projected, ends, gates, cell.directions)),
        (exact, plain_cell(Projected(gates, exact.shape[-1], cell.directions), exact, ends)),
    ):
        weights = torch.linspace(-1, 1, states.numel()).reshape(states.shape)
        (states * weights * mask).sum().backward()
        assert source.grad is not None
        outcomes.append(((states * mask).detach().double(), source.grad.double()))
    tolerance = 1e-5 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    for ours, plain in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance)


class Projected(ScanCell):
    """A cell whose input is already projected."""

    def __init__(self, gates: int, width: int, directions: int) -> None:
        super().__init__(gates, width, width // directions // (gates + 1), directions == 2)
        self.double()
        torch.nn.init.eye_(self.project.weight)
        torch.nn.init.zeros_(self.project.bias)


if __name__ == "__main__":
    scan_triton.STEPS, scan_triton.LANES = 4, 2  # tiles that do not divide these sizes evenly
    for gates in (1, 2):
        check(gates, True, 6, [6, 3], 3, torch.float32)
        check(gates, False, 5, [1, 5], 2, torch.float32)
        check(gates, True, 1, [1], 1, torch.float32)
        check(gates, True, 6, [6, 3], 3, torch.bfloat16)
