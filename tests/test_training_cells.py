"""The scan, the cells and the window classifier: correct values and gradients, and no influence of padding."""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.training.cells.cells import CELLS, ScanCell, _triton_kernels, token_mask
from tasks.training.cells.scan import gated_scan, scan
from tasks.training.input.windows import Batch
from tasks.training.models.controls import CONTROLS
from tasks.training.models.network import Architecture, Dropout, Network


def plain_loop(forget: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
    """h_t = f_t · h_{t-1} + x_t, written out."""
    state, states = torch.zeros_like(inputs[0]), {}
    for step in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        state = states[step] = forget[step] * state + inputs[step]
    return torch.stack([states[step] for step in range(len(inputs))])


def random_scan(time: int, batch: int, hidden: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(time * 100 + batch * 10 + hidden)
    forget = torch.rand(time, batch, hidden, generator=generator, dtype=torch.float64)
    return forget.to(dtype), torch.randn(time, batch, hidden, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("time", [1, 2, 7])
def test_scan_gradients_equal_finite_differences(time: int, reverse: bool) -> None:
    forget, inputs = (value.requires_grad_() for value in random_scan(time, 2, 3))
    assert torch.autograd.gradcheck(lambda f, x: scan(f, x, reverse), (forget, inputs))


@settings(max_examples=40)
@given(time=st.integers(1, 20), batch=st.integers(1, 4), hidden=st.integers(1, 5), reverse=st.booleans())
def test_scan_equals_the_plain_loop(time: int, batch: int, hidden: int, reverse: bool) -> None:
    outcomes = []
    for recurrence in (scan, plain_loop):
        forget, inputs = (value.requires_grad_() for value in random_scan(time, batch, hidden))
        states = recurrence(forget, inputs, reverse)
        states.mul(torch.arange(1, states.numel() + 1).reshape(states.shape)).sum().backward()
        outcomes.append((states, forget.grad, inputs.grad))
    for ours, plain in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_in_low_precision_is_close_to_the_plain_loop_in_float64(
    dtype: torch.dtype, tolerance: float, reverse: bool
) -> None:
    forget, inputs = random_scan(50, 3, 4, dtype)
    expected = plain_loop(forget.double(), inputs.double(), reverse)
    states = scan(forget, inputs, reverse)
    assert states.dtype == dtype
    torch.testing.assert_close(states.double(), expected, rtol=tolerance, atol=tolerance)


def test_scan_accepts_gradients_that_are_not_contiguous() -> None:
    forget, inputs = (value.requires_grad_() for value in random_scan(5, 2, 3))
    scan(forget, inputs).sum().backward()
    ours = inputs.grad
    inputs.grad = None
    plain_loop(forget, inputs, False).sum().backward()
    torch.testing.assert_close(ours, inputs.grad)


def test_mingru_and_minlstm_follow_their_equations() -> None:
    """Feng et al. 2024, equations of minGRU and of minLSTM with normalised gates, step by step."""
    inputs = torch.randn(6, 1, 4, dtype=torch.float64)
    gru, lstm = ScanCell(1, 4, 3, False).double(), ScanCell(2, 4, 3, False).double()
    update, candidate = gru.project(inputs).chunk(2, dim=-1)
    z = 1 - torch.sigmoid(update)
    torch.testing.assert_close(gru(inputs, None), plain_loop(1 - z, z * candidate, False))
    forget, update, candidate = lstm.project(inputs).chunk(3, dim=-1)
    f, i = torch.sigmoid(forget), torch.sigmoid(update)
    torch.testing.assert_close(lstm(inputs, None), plain_loop(f / (f + i), i / (f + i) * candidate, False))


@pytest.mark.parametrize("cell", ["mingru", "minlstm"])
def test_backward_direction_equals_the_forward_direction_on_the_reversed_window(cell: str) -> None:
    bidirectional = CELLS[cell](4, 3, True).double()
    forward = CELLS[cell](4, 3, False).double()
    half = len(bidirectional.project.weight) // 2
    weights = {name: value[half:] for name, value in bidirectional.project.state_dict().items()}
    forward.project.load_state_dict(weights)
    inputs = torch.randn(7, 2, 4, dtype=torch.float64)
    torch.testing.assert_close(bidirectional(inputs, None)[..., 3:], forward(inputs.flip(0), None).flip(0))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    torch.manual_seed(draw(st.integers(0, 100)))
    architecture = Architecture(
        labels=3,
        tokens=20,
        dimensions=draw(st.sampled_from([0, 3])),
        embedding_size=4,
        hidden_size=3,
        layers=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        cell=draw(st.sampled_from([*CELLS, *CONTROLS])),
    )
    network = Network(architecture, Dropout()).double()
    torch.nn.init.normal_(network.output.weight)
    return network


@settings(max_examples=60)
@given(network=networks(), lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), data=st.data())
def test_a_window_depends_neither_on_its_batch_nor_on_padding(
    network: Network, lengths: list[int], data: st.DataObject
) -> None:
    """Values and gradients; the padding holds arbitrary values and is longer than the longest window needs."""
    time = max(lengths) + data.draw(st.integers(0, 3))
    generator = torch.Generator().manual_seed(sum(lengths))
    ids = torch.randint(20, (time, len(lengths)), generator=generator)
    size = 2 * network.architecture.dimensions
    evidence = torch.randn(time, len(lengths), size, generator=generator, dtype=torch.float64)
    together = network(Batch(ids, evidence, torch.tensor(lengths)))
    together.square().sum().backward()
    gradients = [weight.grad.clone() for weight in network.parameters()]
    network.zero_grad()
    for column, length in enumerate(lengths):
        one = Batch(ids[:length, column : column + 1], evidence[:length, column : column + 1], torch.tensor([length]))
        alone = network(one)
        alone.square().sum().backward()
        torch.testing.assert_close(alone[0], together[column], rtol=1e-9, atol=1e-9)
    for gradient, weight in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, weight.grad, rtol=1e-9, atol=1e-9)


def test_noise_applies_only_in_training_and_drops_whole_dimensions() -> None:
    network = Network(Architecture(3, 20, 0, 64, 3, 1, True, "mingru"), Dropout(output=0.5, embedding=0.5, tokens=0.0))
    batch = Batch(torch.randint(2, 20, (10, 4)), torch.zeros(10, 4, 0), torch.full((4,), 10))
    dropped = network.inputs(batch) == 0
    assert all(torch.equal(before, after) for before, after in pairwise(dropped))
    assert 0.3 < dropped.float().mean() < 0.7
    network.eval()
    assert torch.equal(network(batch), network(batch))
    assert not (network.inputs(batch) == 0).any()


def test_contributions_are_the_evidence_part_of_the_logits() -> None:
    network = Network(Architecture(3, 20, 3, 8, 4, 1, True, "mingru"), Dropout()).eval()
    lengths = torch.tensor([6, 2])
    batch = Batch(torch.randint(2, 20, (6, 2)), torch.randn(6, 2, 6), lengths)
    inputs = network.inputs(batch)
    mask = token_mask(6, lengths, inputs.device).unsqueeze(2)
    parts = network.contributions(inputs, network.states(inputs, lengths), mask)
    torch.testing.assert_close(parts.sum(0), network(batch))  # the other term begins at zero
    assert (parts[2:, 1] == 0).all()


@pytest.mark.parametrize("gates", [1, 2])
def test_the_chunked_scan_equals_the_blockwise_scan(gates: int) -> None:
    cell = ScanCell(gates, 4, 3, True).double()
    inputs, lengths = torch.randn(11, 3, 4, dtype=torch.float64), torch.tensor([11, 4, 1])
    mask = token_mask(11, lengths, inputs.device)
    outcomes = []
    for padded in (cell(inputs, lengths), gated_scan(cell.project(inputs), mask, gates, 2)):
        states = padded * mask.unsqueeze(-1)
        gradients = torch.autograd.grad(states.square().sum(), list(cell.parameters()))
        outcomes.append((states, *gradients))
    for blockwise, chunked in zip(*outcomes, strict=True):
        torch.testing.assert_close(blockwise, chunked, rtol=1e-10, atol=1e-10)


def test_long_scans_need_few_operations() -> None:
    forget, inputs = random_scan(900, 2, 3)
    with torch.profiler.profile() as profile:
        scan(forget, inputs)
    launches = [event for event in profile.events() if event.name in {"aten::addcmul_", "aten::addcmul", "aten::mul_"}]
    assert len(launches) <= 3 * 30


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="Triton is for Linux")
def test_triton_kernels_equal_the_plain_cells() -> None:
    """On the CPU, in Triton's interpreter, which must be enabled before a process loads Triton."""
    script = Path(__file__).with_name("triton_agreement.py")
    folders = os.pathsep.join([str(script.parents[1]), str(script.parent)])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": folders}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_kernels_are_used_only_if_they_run(caplog: pytest.LogCaptureFixture) -> None:
    """Triton may be installed without a GPU, a driver or a compiler: then it fails at the first launch."""
    _triton_kernels.cache_clear()
    with caplog.at_level(logging.WARNING, "corpusflow.training"):
        kernels = _triton_kernels()
    installed = importlib.util.find_spec("triton") is not None
    assert (kernels is not None) == (installed and torch.cuda.is_available())
    assert [line.startswith("training: no Triton kernels (") for line in caplog.messages] == [True] * (
        installed and kernels is None
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="Triton is for Linux")
@pytest.mark.parametrize(("capability", "kind", "gates"), [(80, "*bf16", 1), (80, "*fp32", 2), (90, "*bf16", 2)])
def test_triton_kernels_compile_for_gpus_of_other_machines(
    capability: int, kind: str, gates: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To machine code, for Ampere and Hopper: the interpreter also runs code that does not compile."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from tasks.training.cells import scan_triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    sizes = {"HIDDEN": 40, "DIRECTIONS": 2, "NUM_GATES": gates, "STEPS": scan_triton.STEPS, "LANES": scan_triton.LANES}
    forward = {"projected": kind, "lengths": "*i64", "states": kind}
    backward = forward | {"grad_output": kind, "grad_projected": kind}
    for kernel, tensors in ((scan_triton._forward, forward), (scan_triton._backward, backward)):
        signature = tensors | {"time": "i32", "batch": "i32"} | dict.fromkeys(sizes, "constexpr")
        compiled = triton.compile(
            ASTSource(fn=kernel, signature=signature, constexprs=sizes), target=GPUTarget("cuda", capability, 32)
        )
        assert len(compiled.asm["cubin"]) > 1000
