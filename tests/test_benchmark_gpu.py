"""The comparison of a GPU with the CPU, run on the CPU; and that it finds a wrong cell."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gpu
from tasks.training.cells.cells import CELLS, ScanCell

CPU = torch.device("cpu")


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_agrees_with_itself_in_float64(cell: str):
    row = gpu.agreement(cell, CPU)
    assert row["problems"] == []
    assert 0 < row["float32_error"] < 1e-4


def test_a_wrong_cell_is_found(monkeypatch: pytest.MonkeyPatch):
    forward = ScanCell.forward

    def wrong(self: ScanCell, inputs: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        states = forward(self, inputs, lengths)
        return states * 1.01 if inputs.dtype == torch.float32 else states

    monkeypatch.setattr(ScanCell, "forward", wrong)
    assert any("in float32" in problem for problem in gpu.agreement("mingru", CPU)["problems"])
