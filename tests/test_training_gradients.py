"""Gradient profiles: equal to loops written by hand, for every cell, and without influence on the training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from training_texts import small, write_inputs

from tasks.training.cells.cells import CELLS
from tasks.training.loop.gradient_flow import gradient_profile, unit_vectors, unrolled_states
from tasks.training.task import train as stage

LENGTHS = torch.tensor([9, 4, 1, 7])
FEATURES, HIDDEN = 5, 3
Loop = Callable[[dict[str, Tensor], Tensor], dict[str, list[Tensor]]]


def elman(weights: dict[str, Tensor], inputs: Tensor) -> dict[str, list[Tensor]]:
    """h' = tanh(W x + b + U h + c)."""
    states = [torch.zeros(HIDDEN, dtype=torch.float64, requires_grad=True)]
    for x in inputs:
        states.append(torch.tanh(weights["ih"] @ x + weights["b_ih"] + weights["hh"] @ states[-1] + weights["b_hh"]))
    return {"h": states[1:]}


def gru(weights: dict[str, Tensor], inputs: Tensor) -> dict[str, list[Tensor]]:
    """Cho et al. 2014, in the form that PyTorch documents."""
    states = [torch.zeros(HIDDEN, dtype=torch.float64, requires_grad=True)]
    for x in inputs:
        from_input = (weights["ih"] @ x + weights["b_ih"]).chunk(3)
        from_state = (weights["hh"] @ states[-1] + weights["b_hh"]).chunk(3)
        reset, update = (torch.sigmoid(from_input[gate] + from_state[gate]) for gate in (0, 1))
        candidate = torch.tanh(from_input[2] + reset * from_state[2])
        states.append((1 - update) * candidate + update * states[-1])
    return {"h": states[1:]}


def lstm(weights: dict[str, Tensor], inputs: Tensor) -> dict[str, list[Tensor]]:
    """Hochreiter & Schmidhuber 1997 with forget gates, in the form that PyTorch documents."""
    states = [torch.zeros(HIDDEN, dtype=torch.float64, requires_grad=True)]
    memories = [torch.zeros(HIDDEN, dtype=torch.float64, requires_grad=True)]
    for x in inputs:
        gates = weights["ih"] @ x + weights["b_ih"] + weights["hh"] @ states[-1] + weights["b_hh"]
        update, forget, candidate, output = gates.chunk(4)
        memories.append(torch.sigmoid(forget) * memories[-1] + torch.sigmoid(update) * torch.tanh(candidate))
        states.append(torch.sigmoid(output) * torch.tanh(memories[-1]))
    return {"h": states[1:], "c": memories[1:]}


def mingru(weights: dict[str, Tensor], inputs: Tensor) -> dict[str, list[Tensor]]:
    """Feng et al. 2024, with a forget gate in place of the update gate."""
    states = [torch.zeros(HIDDEN, dtype=torch.float64, requires_grad=True)]
    for x in inputs:
        forget, candidate = (weights["weight"] @ x + weights["bias"]).chunk(2)
        states.append(torch.sigmoid(forget) * states[-1] + (1 - torch.sigmoid(forget)) * candidate)
    return {"h": states[1:]}


def minlstm(weights: dict[str, Tensor], inputs: Tensor) -> dict[str, list[Tensor]]:
    """Feng et al. 2024, with gates that sum to one."""
    states = [torch.zeros(HIDDEN, dtype=torch.float64, requires_grad=True)]
    for x in inputs:
        forget, update, candidate = (weights["weight"] @ x + weights["bias"]).chunk(3)
        total = torch.sigmoid(forget) + torch.sigmoid(update)
        states.append(torch.sigmoid(forget) / total * states[-1] + torch.sigmoid(update) / total * candidate)
    return {"h": states[1:]}


LOOPS: dict[str, Loop] = {"rnn": elman, "gru": gru, "lstm": lstm, "mingru": mingru, "minlstm": minlstm}


def weights_of(cell: nn.Module, reverse: bool) -> dict[str, Tensor]:
    """The weights of one direction, by short names."""
    state = {name: value.detach() for name, value in cell.state_dict().items()}
    if "project.weight" in state:
        return {name.removeprefix("project."): value.chunk(2)[int(reverse)] for name, value in state.items()}
    suffix = "_l0_reverse" if reverse else "_l0"
    short = {"weight_ih": "ih", "weight_hh": "hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    return {to: state[f"layer.{name}{suffix}"] for name, to in short.items()}


def double_cell(name: str, features: int = FEATURES) -> nn.Module:
    return CELLS[name](features, HIDDEN, True).double()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_norms_equal_those_of_a_loop_written_by_hand(name: str, reverse: bool) -> None:
    cell, embedded = double_cell(name), torch.randn(9, 4, FEATURES, dtype=torch.float64)
    expected: dict[tuple[str, int], list[float]] = {}
    for window, (length, probe) in enumerate(zip(LENGTHS.tolist(), unit_vectors(4, HIDDEN), strict=True)):
        text = embedded[:length, window]
        kinds = LOOPS[name](weights_of(cell, reverse), text.flip(0) if reverse else text)
        for state, states in kinds.items():
            gradients = torch.autograd.grad(probe @ kinds["h"][-1], states, retain_graph=True)
            for distance, gradient in enumerate(reversed(gradients)):
                expected.setdefault((state, distance), []).append(float(gradient.norm()))
    direction = "backward" if reverse else "forward"
    profile = {
        (row["state"], row["distance"]): row
        for row in gradient_profile([cell], embedded, LENGTHS)
        if row["direction"] == direction
    }
    assert profile.keys() == expected.keys()
    for key, norms in expected.items():
        row = profile[key]
        assert row["windows"] == len(norms)
        assert [row[figure] for figure in ("norm", "smallest", "largest")] == pytest.approx(
            [np.mean(norms), min(norms), max(norms)], rel=1e-9
        )


@pytest.mark.parametrize("name", CELLS)
def test_unrolled_states_equal_those_of_the_layer(name: str) -> None:
    cell, inputs = double_cell(name), torch.randn(6, 2, FEATURES, dtype=torch.float64)
    forward = torch.stack([states[0] for states in unrolled_states(cell, inputs, False)])
    backward = torch.stack([states[0] for states in unrolled_states(cell, inputs.flip(0), True)]).flip(0)
    torch.testing.assert_close(torch.cat([forward, backward], dim=-1), cell(inputs, None))


def test_each_layer_reads_the_output_of_the_one_below() -> None:
    below, above = double_cell("mingru"), double_cell("gru", 2 * HIDDEN)
    embedded = torch.randn(9, 4, FEATURES)
    stacked = gradient_profile([below, above], embedded, LENGTHS)
    alone = gradient_profile([above], below(embedded.double(), LENGTHS), LENGTHS)
    assert [row | {"layer": 1} for row in stacked if row["layer"] == 2] == alone
    assert [row for row in stacked if row["layer"] == 1] == gradient_profile([below], embedded, LENGTHS)


def test_the_norm_starts_at_one_and_stays_exact_far_below_float32() -> None:
    rows = gradient_profile([CELLS["rnn"](4, 8, False)], torch.randn(200, 2, 4))
    assert rows[0]["norm"] == pytest.approx(1)
    assert 0 < rows[-1]["norm"] < 1e-45


def test_a_profile_changes_neither_model_nor_random_numbers() -> None:
    cell = CELLS["gru"](4, 3, True).train()
    before, state = {name: value.clone() for name, value in cell.state_dict().items()}, torch.get_rng_state()
    rows = gradient_profile([cell], torch.ones(5, 2, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert rows == gradient_profile([cell], torch.ones(5, 2, 4))
    assert all(weight.grad is None and weight.dtype == torch.float32 for weight in cell.parameters())
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def build(inputs: dict[str, Path], folder: Path, **changes: Any) -> Path:
    (folder / "out").mkdir(parents=True, exist_ok=True)
    stage.function(small(**changes), folder / "out", **inputs, scratch=folder / "scratch")
    return folder / "out"


def test_recording_gradients_leaves_the_training_bit_identical(inputs: dict[str, Path], tmp_path: Path) -> None:
    recorded = build(inputs, tmp_path / "recorded", cell="gru", num_layers=2, gradient_flow=True)
    plain = build(inputs, tmp_path / "plain", cell="gru", num_layers=2)
    name = "rnn/networks.safetensors"
    assert (recorded / name).read_bytes() == (plain / name).read_bytes()
    every, last = (pd.read_parquet(folder / "gradients.parquet") for folder in (recorded, plain))
    assert sorted(set(every["epoch"])) == [1, 2]
    pd.testing.assert_frame_equal(every[every["epoch"] == 2].reset_index(drop=True), last)
    assert set(zip(last["layer"], last["direction"], strict=True)) == {
        (layer, direction) for layer in (1, 2) for direction in ("forward", "backward")
    }
    assert last["distance"].max() == 11
    assert last.query("distance == 0")["norm"].to_numpy() == pytest.approx(1)


def test_the_record_of_a_resumed_training_is_complete(inputs: dict[str, Path], tmp_path: Path) -> None:
    uninterrupted = build(inputs, tmp_path / "uninterrupted", gradient_flow=True)
    build(inputs, tmp_path / "resumed", gradient_flow=True)
    for path in (tmp_path / "resumed" / "scratch").rglob("epoch-00002-*"):
        path.unlink()
    shutil.rmtree(tmp_path / "resumed" / "out")
    resumed = build(inputs, tmp_path / "resumed", gradient_flow=True)
    assert (resumed / "gradients.parquet").read_bytes() == (uninterrupted / "gradients.parquet").read_bytes()


def test_a_model_without_recurrence_has_an_empty_profile(inputs: dict[str, Path], tmp_path: Path) -> None:
    assert len(pd.read_parquet(build(inputs, tmp_path, cell="tanh") / "gradients.parquet")) == 0
