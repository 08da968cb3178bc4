"""Gradient profile by lag: ‖∂L/∂h_t‖ of a recurrent layer's states against the distance from step t to the loss.

The gradient at step t is a product over all later steps (Bengio, Simard & Frasconi 1994). To isolate that product, the
loss depends on one end alone: L = u · h_T, with h_T the last state that a direction of the layer computes for a window,
and u a random unit vector, a different one for each window. So the norm is 1 at distance 0; at distance d it is the
fraction of a gradient that survives d steps. The training loss would not show it if states are pooled or every step
predicts, because then each step has a loss of its own next to it.

Computed step by step, through every path, in float64 on the CPU on a copy of the weights: even a fraction of 1e-40 is
representable, and the training's model and random numbers are unaffected.
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

from tasks.shared.statistics.metrics import Ints
from tasks.training.cells.cells import CELLS, ScanCell, TorchCell
from tasks.training.input.evidence import Tables
from tasks.training.input.windows import Windows, collate
from tasks.training.models.network import Network

WINDOWS, STEPS, VALUES = 32, 1024, 2**21
"""Upper bounds: windows of a profile, steps of each, and state values of all of them in a layer."""

States = tuple[Tensor, ...]
"""A layer's state after a step, [batch, hidden] each: h, and of an LSTM also c."""


def profile_network(
    network: Network, windows: Windows, positions: Ints, tables: Tables, table: Callable[[Ints], Ints]
) -> list[dict[str, Any]]:
    """`gradient_profile` over the longest of these windows; `table` gives the evidence tables of texts.

    Empty for a network without recurrent layers.
    """
    if network.architecture.cell not in CELLS:
        return []
    width = max(weight.shape[-1] for cell in network.cells for weight in cell.parameters())
    longest = np.argsort(-windows.lengths[positions], kind="stable")
    count = max(1, min(WINDOWS, VALUES // (min(STEPS, int(windows.lengths[positions].max())) * width)))
    chosen = positions[np.sort(longest[:count])]
    batch = collate(windows, chosen, tables, table(windows.text[chosen])).to(network.output.weight.device)
    training = network.training
    with torch.no_grad():
        inputs = network.eval().inputs(batch)
    network.train(training)
    return gradient_profile(network.cells, inputs[:STEPS], batch.lengths.clamp(max=STEPS))


def gradient_profile(
    cells: Iterable[nn.Module], embedded: Tensor, lengths: Tensor | None = None
) -> list[dict[str, Any]]:
    """The norms at each distance, per layer, direction and kind of state: rows of schema.GRADIENTS without the epoch.

    `embedded` [time, batch, features] is the first layer's input; `lengths` [batch] is on the CPU, None: no padding.
    Distance d of a window is the state d steps before the last one that the direction computes (in the backward
    direction, the state of token d). A window counts at the distances that it has.
    """
    inputs = embedded.detach().cpu().double()
    lengths = torch.full((inputs.shape[1],), len(inputs)) if lengths is None else lengths
    rows = []
    for number, layer in enumerate(cells, start=1):
        cell = copy.deepcopy(layer).cpu().double()
        for direction in ("forward", "backward")[: count_directions(cell)]:
            profiles = _norms(cell, inputs, lengths, reverse=direction == "backward")
            for state, norms in zip("hc", profiles, strict=False):
                rows += [{"layer": number, "direction": direction, "state": state, **row} for row in _rows(norms)]
        with torch.no_grad():
            inputs = cell(inputs, lengths)
    return rows


def count_directions(cell: nn.Module) -> int:
    """2 for a bidirectional layer, else 1."""
    if isinstance(cell, TorchCell):
        return 2 if cell.layer.bidirectional else 1
    assert isinstance(cell, ScanCell)
    return cell.directions


def unrolled_states(cell: nn.Module, inputs: Tensor, reverse: bool) -> Iterator[States]:
    """One direction's states after each step; `inputs` [time, batch, features] in the direction's order.

    Computed one step after another, so that autograd sees every state; the layer itself computes them at once.
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
    for step in inputs:
        if layer.mode == "LSTM":
            state, memory = torch.lstm_cell(step, (state, memory), *weights)
            yield state, memory
        else:
            state = (torch.gru_cell if layer.mode == "GRU" else torch.rnn_tanh_cell)(step, state, *weights)
            yield (state,)


def _scan_steps(cell: ScanCell, inputs: Tensor, reverse: bool) -> Iterator[States]:
    projected = cell.project(inputs).chunk(cell.directions, dim=-1)[int(reverse)]
    *gates, candidates = projected.chunk(cell.num_gates + 1, dim=-1)
    forget = torch.sigmoid(gates[0])
    if cell.num_gates == 2:
        forget = forget / (forget + torch.sigmoid(gates[1]))
    state = torch.zeros_like(candidates[0])
    for gate, candidate in zip(forget, candidates, strict=True):
        state = gate * state + (1 - gate) * candidate
        yield (state,)


def _norms(cell: nn.Module, inputs: Tensor, lengths: Tensor, reverse: bool) -> list[NDArray[np.float64]]:
    """For each kind of state the norms [distance, batch], NaN at distances that a window does not have."""
    time = torch.arange(len(inputs)).unsqueeze(1)
    backwards = (lengths - 1 - time) % len(inputs)  # each window from end to start, then its padding
    window = torch.arange(len(lengths))
    steps = list(unrolled_states(cell, inputs[backwards, window] if reverse else inputs, reverse))
    last = torch.stack([states[0] for states in steps])[lengths - 1, window]
    profiles = []
    for states in zip(*steps, strict=True):
        gradients = torch.autograd.grad((unit_vectors(*last.shape) * last).sum(), states, retain_graph=True)
        norms = torch.stack([gradient.norm(dim=-1) for gradient in gradients])
        profiles.append(norms[backwards, window].masked_fill(time >= lengths, float("nan")).numpy())
    return profiles


def unit_vectors(batch: int, hidden: int) -> Tensor:
    """The random unit vector u of each window, [batch, hidden]; the same on every call."""
    vectors = torch.randn(batch, hidden, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return functional.normalize(vectors, dim=-1)


def _rows(norms: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    for distance, row in enumerate(norms):
        known = row[~np.isnan(row)]
        yield {
            "distance": distance,
            "windows": len(known),
            "norm": float(known.mean()),
            "smallest": float(known.min()),
            "largest": float(known.max()),
        }
