"""How far a gradient reaches: ‖∂L/∂h_t‖ of a recurrent layer's states against the distance to the loss, in steps.

The gradient at step t is a product over all later steps (Bengio, Simard & Frasconi 1994). To see that product and
nothing else, the loss hangs on one end alone: L = u · h_T, with h_T the last state that a direction of the layer
computes for a window, and u a random direction of length one, its own for each window. So the norm is 1 at distance
0, and at distance d it is the share of a gradient that d steps leave. The loss of the training itself would not show
it where states are pooled or every step predicts: there each step has a loss of its own beside it.

Followed step by step, through every path, in float64 on the CPU on a copy of the weights: a share of 1e-40 is none
too small, and neither model nor random numbers of the training notice.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.cells.cells import ScanCell, TorchCell
from tasks.training.data.windows import Indices, Windows, cut, gather

WINDOWS, STEPS, VALUES = 32, 1024, 2**21
"""The most windows that are followed, the most steps of each, and the most state values of all of them in a layer."""

States = tuple[Tensor, ...]
"""What a layer carries from step to step, [batch, hidden] each: h, and of an LSTM also c."""


def flow_in_texts(
    cells: Iterable[nn.Module],
    embedding: Callable[[Tensor], Tensor],
    ids: NDArray[Any],
    offsets: Indices,
    size: int,
    device: torch.device,
) -> list[dict[str, Any]]:
    """`gradient_flow` over some of the windows of `size` tokens of the texts ids[offsets[i]:offsets[i + 1]].

    `embedding` turns tokens [time, batch] into the first layer's inputs [time, batch, features], on `device`.
    """
    layers = list(cells)
    if not layers:
        return []
    width = max(weight.shape[-1] for layer in layers for weight in layer.parameters())
    windows = cut(offsets, min(size, STEPS), min(size, STEPS))
    chosen = longest(windows, max(1, min(WINDOWS, VALUES // (int(windows.lengths.max()) * width))))
    tokens, lengths = gather(ids, windows, chosen, device)
    with torch.no_grad():
        embedded = embedding(tokens)
    return gradient_flow(layers, embedded, lengths)


def longest(windows: Windows, count: int) -> Indices:
    """Positions of `count` of the longest windows, or of all; where more are as long, evenly spread over these."""
    order = np.argsort(-windows.lengths, kind="stable")
    as_long = int((windows.lengths == windows.lengths.max()).sum())
    among = order[: max(count, as_long)]
    return among[np.linspace(0, len(among) - 1, min(count, len(among))).astype(np.int64)]


def gradient_flow(cells: Iterable[nn.Module], embedded: Tensor, lengths: Tensor | None = None) -> list[dict[str, Any]]:
    """The norms at each distance for each layer, direction and kind of state: rows of schema.GRADIENTS, epoch aside.

    `embedded` [time, batch, features] is what the first layer reads, `lengths` [batch] on the CPU, None: no padding.
    Distance d of a window is the state d steps before the last one that the direction computes (of the backward
    direction: the one of the window's token d). A window counts at the distances that it has.
    """
    inputs = embedded.detach().cpu().double()
    lengths = torch.full((inputs.shape[1],), len(inputs)) if lengths is None else lengths
    rows = []
    for number, layer in enumerate(cells, start=1):
        cell = copy.deepcopy(layer).cpu().double()
        for direction in ("forward", "backward")[: directions(cell)]:
            norms = _norms(cell, inputs, lengths, reverse=direction == "backward")
            for state, found in zip("hc", norms, strict=False):
                rows += [{"layer": number, "direction": direction, "state": state, **row} for row in _rows(found)]
        with torch.no_grad():
            inputs = cell(inputs, lengths)
    return rows


def directions(cell: nn.Module) -> int:
    """1, or 2 of a layer that reads in both directions."""
    if isinstance(cell, TorchCell):
        return 2 if cell.layer.bidirectional else 1
    assert isinstance(cell, ScanCell)
    return cell.directions


def recurrence(cell: nn.Module, inputs: Tensor, reverse: bool) -> Iterator[States]:
    """The states of one direction of a layer after each step; `inputs` [time, batch, features] in the order it reads.

    Written out, one step after the other, so that autograd sees every state; the layer itself computes them at once.
    """
    if isinstance(cell, TorchCell):
        return _torch_steps(cell.layer, inputs, "_l0_reverse" if reverse else "_l0")
    assert isinstance(cell, ScanCell)
    return _scan_steps(cell, inputs, reverse)


def _torch_steps(layer: nn.RNNBase, inputs: Tensor, suffix: str) -> Iterator[States]:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = [getattr(layer, name + suffix) for name in names]
    state = inputs.new_zeros(inputs.shape[1], layer.hidden_size, requires_grad=True)
    memory = torch.zeros_like(state)
    for now in inputs:
        if layer.mode == "LSTM":
            state, memory = torch.lstm_cell(now, (state, memory), *weights)
            yield state, memory
        else:
            state = (torch.gru_cell if layer.mode == "GRU" else torch.rnn_tanh_cell)(now, state, *weights)
            yield (state,)


def _scan_steps(cell: ScanCell, inputs: Tensor, reverse: bool) -> Iterator[States]:
    parts = cell.project(inputs).chunk(cell.directions, dim=-1)[int(reverse)].chunk(cell.gates + 1, dim=-1)
    keep = torch.sigmoid(parts[0])
    if cell.gates == 2:
        keep = keep / (keep + torch.sigmoid(parts[1]))
    state = torch.zeros_like(parts[-1][0])
    for forget, candidate in zip(keep, parts[-1], strict=True):
        state = forget * state + (1 - forget) * candidate
        yield (state,)


def _norms(cell: nn.Module, inputs: Tensor, lengths: Tensor, reverse: bool) -> list[NDArray[np.float64]]:
    """Of each kind of state: norms [distance, batch], NaN at distances that a window does not have."""
    time = torch.arange(len(inputs)).unsqueeze(1)
    back = (lengths - 1 - time) % len(inputs)  # each window from its end to its beginning, then its padding
    window = torch.arange(len(lengths))
    steps = list(recurrence(cell, inputs[back, window] if reverse else inputs, reverse))
    last = torch.stack([states[0] for states in steps])[lengths - 1, window]
    found = []
    for states in zip(*steps, strict=True):
        gradients = torch.autograd.grad((probes(*last.shape) * last).sum(), states, retain_graph=True)
        norms = torch.stack([gradient.norm(dim=-1) for gradient in gradients])
        found.append(norms[back, window].masked_fill(time >= lengths, float("nan")).numpy())
    return found


def probes(batch: int, hidden: int) -> Tensor:
    """The direction u of each window, [batch, hidden], of length one; always the same ones."""
    drawn = torch.randn(batch, hidden, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return functional.normalize(drawn, dim=-1)


def _rows(norms: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    for distance, row in enumerate(norms):
        there = row[~np.isnan(row)]
        yield {
            "distance": distance,
            "windows": len(there),
            "norm": float(there.mean()),
            "smallest": float(there.min()),
            "largest": float(there.max()),
        }
