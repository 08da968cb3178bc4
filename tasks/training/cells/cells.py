"""Recurrent layers behind one interface: [time, batch, features] and lengths in, [time, batch, states] out.

A sequence's states do not depend on the padding after it, nor on the other sequences of the batch. What stands at
padded positions of the output is unspecified; pooling masks it.
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

from tasks.shared.errors import one_line
from tasks.training.cells.cpu_workspace import Layer
from tasks.training.cells.scan import gated_scan
from tasks.training.cells.scan_cpu import scan_blocks

log = logging.getLogger("corpusflow.training")


class Cell(Protocol):
    """One layer, in one or both directions."""

    def __call__(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """States for `inputs` [time, batch, features]; `lengths` [batch] lie on the CPU, None means no padding."""
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
    """Minimal cells (arXiv 2410.01201): gates see the input only, so all steps' gates are one matrix product.

    h_t = f_t · h_{t-1} + (1 - f_t) · c_t, with the candidate c_t linear in the input. Dividing minLSTM's two gates by
    their sum, as the paper does, leaves one forget gate as well.
    """

    def __init__(self, gates: int, features: int, hidden: int, bidirectional: bool) -> None:
        super().__init__()
        self.gates, self.directions = gates, 2 if bidirectional else 1
        self.project = nn.Linear(features, self.directions * (gates + 1) * hidden)

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """See Cell. Under autocast the product is of short floats; gates and states are computed in float32 anyway.

        What a GPU's kernel stores of the states then is short again.
        """
        if inputs.device.type == "cpu":
            return self._in_blocks(inputs, lengths)
        projected = self.project(inputs)
        kernels = _triton_kernels() if inputs.is_cuda and projected.dtype != torch.float64 else None
        if kernels is None:
            inside = None if lengths is None else inside_mask(len(inputs), lengths, inputs.device)
            return gated_scan(projected, inside, self.gates, self.directions)
        ends = torch.full((inputs.shape[1],), len(inputs)) if lengths is None else lengths
        states: Tensor = kernels.scan_gates(
            projected, ends.to(inputs.device, non_blocking=True), self.gates, self.directions
        )
        return states

    def _in_blocks(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        time, batch, _ = inputs.shape
        hidden = self.project.out_features // self.directions // (self.gates + 1)
        layer = Layer(time, batch, hidden, self.gates, self.directions, product=_autocast_dtype(inputs))
        outside = None if lengths is None else ~inside_mask(time, lengths, inputs.device)
        return scan_blocks(inputs, self.project.weight, self.project.bias, outside, layer).to(inputs.dtype)


@cache
def _triton_kernels() -> ModuleType | None:
    """The kernels, if they run here: Triton compiles them when they are first used, and needs a C compiler to."""
    try:
        from tasks.training.cells import scan_triton
    except ImportError:
        return None
    try:
        scan_triton.try_out()
    except Exception as error:  # there are many ways to lack a compiler or a driver
        log.warning(
            "training: no Triton kernels (%s: %s), so the slower scan it is", type(error).__name__, one_line(error)
        )
        return None
    return scan_triton


def _autocast_dtype(inputs: Tensor) -> torch.dtype:
    """What matrix products of `inputs` on the CPU are computed in; autocast leaves float64 alone."""
    if torch.is_autocast_enabled("cpu") and inputs.dtype != torch.float64:
        return torch.get_autocast_dtype("cpu")
    return inputs.dtype


CELLS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "rnn": lambda features, hidden, both: TorchCell(nn.RNN, features, hidden, both),
    "gru": lambda features, hidden, both: TorchCell(nn.GRU, features, hidden, both),
    "lstm": lambda features, hidden, both: TorchCell(nn.LSTM, features, hidden, both),
    "mingru": lambda features, hidden, both: ScanCell(1, features, hidden, both),
    "minlstm": lambda features, hidden, both: ScanCell(2, features, hidden, both),
}
"""Name in settings → layer of (input features, hidden units in a direction, both directions?), a Cell."""


def inside_mask(time: int, lengths: Tensor, device: torch.device) -> Tensor:
    """True where a sequence has a token, [time, batch]."""
    return torch.arange(time, device=device).unsqueeze(1) < lengths.to(device, non_blocking=True)
