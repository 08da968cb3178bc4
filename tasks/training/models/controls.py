"""Layers without recurrence, with which the RNN is compared: what remains without them is what recurrence gives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tasks.training.cells.cells import token_mask


class TokenLayer(nn.Module):
    """The state of a token depends on that token alone."""

    def __init__(self, features: int, states: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, states)

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """See tasks/training/cells/cells.py, Cell."""
        return torch.tanh(self.linear(inputs))


class Convolution(nn.Module):
    """The state of a token depends on that token and its two neighbours."""

    def __init__(self, features: int, states: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * features, states)

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """See tasks/training/cells/cells.py, Cell."""
        if lengths is not None:
            inputs = inputs * token_mask(len(inputs), lengths, inputs.device).unsqueeze(2)
        zeros = torch.zeros_like(inputs[:1])
        neighbours = [torch.cat([zeros, inputs[:-1]]), inputs, torch.cat([inputs[1:], zeros])]
        return torch.tanh(self.linear(torch.cat(neighbours, 2)))


CONTROLS: dict[str, Callable[[int, int], nn.Module]] = {"tanh": TokenLayer, "convolution": Convolution}
"""Name in settings → layer of (input features, state features)."""
