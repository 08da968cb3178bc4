"""Recurrent layers behind one interface: [time, batch, features] and lengths in, [time, batch, states] out.

A sequence's states depend neither on the padding after it nor on the other sequences of the batch. The output at padded
positions is unspecified; pooling masks it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tasks.training.cells.cpu_workspace import ScanPlan
from tasks.training.cells.scan import gated_scan
from tasks.training.cells.scan_cpu import blockwise_scan

log = logging.getLogger("corpusflow.training")


class Cell(Protocol):
    """One layer, in one or both directions."""

    def __call__(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """States for `inputs` [time, batch, features]; `lengths` [batch] is on the CPU, None means no padding."""
        ...


class TorchCell(nn.Module):
    """PyTorch's own RNN (Elman, tanh), GRU or LSTM."""

    def __init__(self, layer: type[nn.RNN | nn.GRU | nn.LSTM], features: int, hidden: int, bidirectional: bool) -> None:
        super().__init__()
        self.layer = layer(features, hidden, bidirectional=bidirectional)

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """See Cell."""
        if lengths is None:
            states: Tensor = self.layer(inputs)[0]
            return states
        packed = self.layer(pack_padded_sequence(inputs, lengths, enforce_sorted=False))[0]
        return pad_packed_sequence(packed, total_length=len(inputs))[0]


class ScanCell(nn.Module):
    """Minimal cells (arXiv 2410.01201): gates see only the input, so one matrix product computes them for all steps.

    h_t = f_t · h_{t-1} + (1 - f_t) · c_t, with the candidate c_t linear in the input. minLSTM divides its two gates by
    their sum, as in the paper, which leaves one forget gate as well.
    """

    def __init__(self, num_gates: int, features: int, hidden: int, bidirectional: bool) -> None:
        super().__init__()
        self.num_gates, self.directions = num_gates, 2 if bidirectional else 1
        self.project = nn.Linear(features, self.directions * (num_gates + 1) * hidden)

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """See Cell. Autocast applies to the matrix product only; gates and states are always computed in float32.

        Under autocast the GPU kernel stores the states in autocast's type.
        """
        if inputs.device.type == "cpu":
            return self._forward_cpu(inputs, lengths)
        projected = self.project(inputs)
        kernels = _triton_kernels() if inputs.is_cuda and projected.dtype != torch.float64 else None
        if kernels is None:
            mask = None if lengths is None else token_mask(len(inputs), lengths, inputs.device)
            return gated_scan(projected, mask, self.num_gates, self.directions)
        ends = torch.full((inputs.shape[1],), len(inputs)) if lengths is None else lengths
        states: Tensor = kernels.scan_gates(
            projected, ends.to(inputs.device, non_blocking=True), self.num_gates, self.directions
        )
        return states

    def _forward_cpu(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        time, batch, _ = inputs.shape
        hidden = self.project.out_features // self.directions // (self.num_gates + 1)
        plan = ScanPlan(time, batch, hidden, self.num_gates, self.directions, product_dtype=_autocast_dtype(inputs))
        padding = None if lengths is None else ~token_mask(time, lengths, inputs.device)
        return blockwise_scan(inputs, self.project.weight, self.project.bias, padding, plan).to(inputs.dtype)


@cache
def _triton_kernels() -> ModuleType | None:
    """The kernels, if they run here: Triton compiles them at their first use and needs a C compiler for it."""
    try:
        from tasks.training.cells import scan_triton
    except ImportError:
        return None
    try:
        scan_triton.check_kernels()
    except Exception as error:  # there are many ways to lack a compiler or a driver
        reason = " ".join(str(error).split())[:200]
        log.warning("training: no Triton kernels (%s: %s), using the slower scan", type(error).__name__, reason)
        return None
    return scan_triton


def _autocast_dtype(inputs: Tensor) -> torch.dtype:
    """The dtype of matrix products with `inputs` on the CPU; autocast leaves float64 alone."""
    if torch.is_autocast_enabled("cpu") and inputs.dtype != torch.float64:
        return torch.get_autocast_dtype("cpu")
    return inputs.dtype


CELLS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "rnn": lambda features, hidden, bidirectional: TorchCell(nn.RNN, features, hidden, bidirectional),
    "gru": lambda features, hidden, bidirectional: TorchCell(nn.GRU, features, hidden, bidirectional),
    "lstm": lambda features, hidden, bidirectional: TorchCell(nn.LSTM, features, hidden, bidirectional),
    "mingru": lambda features, hidden, bidirectional: ScanCell(1, features, hidden, bidirectional),
    "minlstm": lambda features, hidden, bidirectional: ScanCell(2, features, hidden, bidirectional),
}
"""Name in settings → layer of (input features, hidden units per direction, both directions?), a Cell."""


def token_mask(time: int, lengths: Tensor, device: torch.device) -> Tensor:
    """True at tokens, false at padding, [time, batch]."""
    return torch.arange(time, device=device).unsqueeze(1) < lengths.to(device, non_blocking=True)
