"""The minimal cells on the CPU, block by block, against the plain loop: values, gradients, padding, precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_cells import plain_cell
from torch import Tensor

from tasks.training.cells import cpu_workspace
from tasks.training.cells.cells import CELLS, ScanCell, token_mask

BFLOAT16 = torch.finfo(torch.bfloat16).eps / 2
"""Largest relative error of rounding to bfloat16."""


def random_cell(gates: int, both: bool, features: int = 4, hidden: int = 3) -> ScanCell:
    torch.manual_seed(gates * 10 + features + hidden)
    return ScanCell(gates, features, hidden, both).double()


def outcomes(states: Tensor, lengths: Tensor | None, cell: ScanCell, inputs: Tensor) -> list[Tensor]:
    """States at tokens, and the gradients of their sum with a different weight for each."""
    if lengths is not None:
        states = states * token_mask(len(states), lengths, states.device).unsqueeze(-1)
    weights = torch.linspace(-1, 1, states.numel(), dtype=states.dtype).reshape(states.shape)
    return [states.detach(), *torch.autograd.grad((states * weights).sum(), [inputs, *cell.parameters()])]


@settings(max_examples=60)
@given(
    gates=st.integers(1, 2),
    both=st.booleans(),
    time=st.integers(1, 12),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    rows=st.integers(1, 20),
    padded=st.booleans(),
)
def test_blocks_of_any_size_equal_the_plain_loop(
    gates: int, both: bool, time: int, lengths: list[int], rows: int, padded: bool
) -> None:
    cell = random_cell(gates, both)
    inputs = torch.randn(time, len(lengths), 4, dtype=torch.float64, requires_grad=True)
    ends = torch.tensor(lengths).clamp(max=time) if padded else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_workspace, "BLOCK_ROWS", rows)
        ours = outcomes(cell(inputs, ends), ends, cell, inputs)
    plain = outcomes(plain_cell(cell, inputs, ends), ends, cell, inputs)
    for value, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gates", [1, 2])
def test_blockwise_gradients_equal_finite_differences(gates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_workspace, "BLOCK_ROWS", 6)
    cell = random_cell(gates, both=True, hidden=2)
    inputs = torch.randn(5, 2, 4, dtype=torch.float64, requires_grad=True)
    parameters = {name: value.detach().clone().requires_grad_() for name, value in cell.named_parameters()}

    def states(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        given = {"project.weight": weight, "project.bias": bias}
        return torch.func.functional_call(cell, given, (inputs, torch.tensor([5, 3])))

    assert torch.autograd.gradcheck(states, (inputs, *parameters.values()))


@pytest.mark.parametrize("gates", [1, 2])
def test_float32_is_close_to_the_plain_loop_in_float64(gates: int) -> None:
    cell = random_cell(gates, both=True, features=32, hidden=16)
    inputs = torch.randn(300, 3, 32, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([300, 211, 1])
    expected = outcomes(plain_cell(cell, inputs, lengths), lengths, cell, inputs)
    cell.float()
    short = inputs.detach().float().requires_grad_()
    for value, right in zip(outcomes(cell(short, lengths), lengths, cell, short), expected, strict=True):
        scale = float(right.abs().max())
        torch.testing.assert_close(value.double(), right, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("gates", [1, 2])
def test_bfloat16_errors_are_bounded_by_the_rounding_of_products(gates: int, autocast: bool) -> None:
    """States accumulate in float32, so the error after 2,000 steps is no larger than after one.

    With r the relative rounding error of bfloat16, a product's output p has an error of r · |p|. An error d of a gate's
    pre-activation changes f by f · (1 - f) · d; so a state, a mean of the candidates with the weights (1 - f) · f …,
    changes by d times the distance of candidates, plus the rounding of the candidates and of itself.
    """
    cell = random_cell(gates, both=True, features=8, hidden=16).bfloat16()
    inputs = torch.randn(2000, 2, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    exact = ScanCell(gates, 8, 16, True).double()
    exact.load_state_dict(cell.state_dict())
    expected = plain_cell(exact, inputs.double()).detach()
    if autocast:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = cell.float()(inputs.float(), None)
        assert states.dtype == torch.float32
    else:
        states = cell(inputs, None)
        assert states.dtype == torch.bfloat16
    largest = float(exact.project(inputs.double()).detach().abs().max())
    assert float((states.detach() - expected).abs().max()) < BFLOAT16 * (gates * largest * 2 * largest + 2 * largest)


@pytest.mark.parametrize("gates", [1, 2])
def test_gradients_under_autocast_are_float32_and_close_to_float64(gates: int) -> None:
    cell = random_cell(gates, both=True, features=16, hidden=16)
    inputs = torch.randn(200, 4, 16, dtype=torch.float64, requires_grad=True)
    expected = outcomes(plain_cell(cell, inputs), None, cell, inputs)
    cell.float()
    short = inputs.detach().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = cell(short, None)
    for value, right in zip(outcomes(states, None, cell, short), expected, strict=True):
        assert value.dtype == torch.float32
        assert float((value - right).norm() / right.norm()) < 4 * BFLOAT16


@pytest.mark.parametrize("gates", [1, 2])
def test_saturated_gates_leave_states_and_gradients_finite(gates: int) -> None:
    cell = random_cell(gates, both=True).float()
    with torch.no_grad():
        cell.project.weight.mul_(1e4)
    inputs = torch.randn(20, 3, 4, requires_grad=True)
    lengths = torch.tensor([20, 7, 1])
    for value in outcomes(cell(inputs, lengths), lengths, cell, inputs):
        assert torch.isfinite(value).all()
    alone = cell(inputs[:7, 1:2], None)
    torch.testing.assert_close(cell(inputs, lengths)[:7, 1:2], alone)


@pytest.mark.parametrize("cell", ["mingru", "minlstm"])
def test_states_are_the_same_without_gradients(cell: str) -> None:
    layer = CELLS[cell](4, 3, True)
    inputs = torch.randn(9, 2, 4)
    with torch.inference_mode():
        states = layer(inputs, None)
    assert torch.equal(states, layer(inputs, None))


def test_only_the_weights_can_require_gradients() -> None:
    """Without a gradient of the inputs, the gradient of the weights is the same."""
    layer, inputs = CELLS["mingru"](4, 3, True), torch.randn(9, 2, 4)
    gradients = [
        torch.autograd.grad(layer(given, None).square().sum(), layer.project.weight)[0]
        for given in (inputs, inputs.clone().requires_grad_())
    ]
    assert torch.equal(*gradients)
