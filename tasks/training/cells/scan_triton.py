"""Gates and scan of the minimal recurrent cells as Triton kernels for GPUs: one pass over memory each way.

A program handles some hidden units of one sequence in one direction and goes through time in tiles. An associative scan
combines a tile's steps pairwise, so that it fetches a tile's memory at once; registers carry the state from tile to
tile. The forward pass writes only the states, and the backward pass computes the gates again. Computes in float32,
whatever the dtype of the tensors.
"""

# ruff: noqa: N803 (Triton's compile-time constants are in capitals)

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

STEPS, LANES = 64, 32
"""A tile's steps of time and hidden units."""


def scan_gates(projected: Tensor, lengths: Tensor, num_gates: int, directions: int) -> Tensor:
    """States [time, batch, directions · hidden] from `projected` [time, batch, directions · (num_gates + 1) · hidden].

    `projected` holds each direction's gates before their sigmoids, then its candidate; `lengths` [batch] is on the same
    device, and states do not change beyond them. Differentiable once in `projected`. cells.py has the equations.
    """
    states: Tensor = _Gates.apply(projected.contiguous(), lengths, num_gates, directions)  # type: ignore[no-untyped-call]
    return states


def check_kernels() -> None:
    """Compiles both kernels and runs them on two numbers; passes on the errors of Triton and of the driver."""
    with torch.inference_mode(False), torch.enable_grad():
        projected = torch.zeros(1, 1, 2, device="cuda", requires_grad=True)
        states = scan_gates(projected, torch.ones(1, dtype=torch.int64, device="cuda"), num_gates=1, directions=1)
        states.sum().backward()  # type: ignore[no-untyped-call]


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, lengths: Tensor, num_gates: int, directions: int) -> Tensor:
        time, batch, width = projected.shape
        hidden = width // directions // (num_gates + 1)
        states = projected.new_empty(time, batch, directions * hidden)
        sizes = (time, batch, hidden, directions, num_gates, STEPS, LANES)
        with torch.cuda.device_of(projected):  # type: ignore[no-untyped-call]
            _forward[(batch * directions, triton.cdiv(hidden, LANES))](projected, lengths, states, *sizes)
        ctx.save_for_backward(projected, lengths, states)
        ctx.sizes = sizes
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:
        projected, lengths, states = ctx.saved_tensors
        _, batch, hidden, directions, *_ = ctx.sizes
        grad_projected, grad_output = torch.empty_like(projected), grad_output.contiguous()
        with torch.cuda.device_of(projected):  # type: ignore[no-untyped-call]
            grid = (batch * directions, triton.cdiv(hidden, LANES))
            _backward[grid](projected, lengths, states, grad_output, grad_projected, *ctx.sizes)
        return grad_projected, None, None, None


@triton.jit
def _softplus(value):  # type: ignore[no-untyped-def]
    return tl.maximum(value, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(value)))


@triton.jit
def _load(values, offset, valid):  # type: ignore[no-untyped-def]
    """As float32; zero if not `valid`."""
    return tl.load(values + offset, mask=valid, other=0.0).to(tl.float32)


@triton.jit
def _position(order, time, batch, DIRECTIONS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The points in time at `order` in this program's direction, and the rows that hold them."""
    sequence, direction = tl.program_id(0) // DIRECTIONS, tl.program_id(0) % DIRECTIONS
    now = tl.where(direction == 0, order, time - 1 - order)
    return now, (now.to(tl.int64) * batch + sequence) * DIRECTIONS + direction


@triton.jit
def _gate(projected, offset, valid, HIDDEN: tl.constexpr, NUM_GATES: tl.constexpr):  # type: ignore[no-untyped-def]
    """The forget gate before its sigmoid; merges minLSTM's two gates without a division."""
    gate = _load(projected, offset, valid)
    if NUM_GATES == 2:
        update = _load(projected, offset + HIDDEN, valid)
        gate = _softplus(-update) - _softplus(-gate)
    return gate


@triton.jit
def _compose(forget, added, next_forget, next_added):  # type: ignore[no-untyped-def]
    """Two consecutive steps, or ranges of steps, as one."""
    return forget * next_forget, added * next_forget + next_added


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    projected,
    lengths,
    states,
    time,
    batch,
    HIDDEN: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    NUM_GATES: tl.constexpr,
    STEPS: tl.constexpr,
    LANES: tl.constexpr,
):
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)[None, :]
    length, step = tl.load(lengths + tl.program_id(0) // DIRECTIONS), tl.arange(0, STEPS)[:, None]
    state = tl.zeros((1, LANES), dtype=tl.float32)
    for start in range(0, time, STEPS):
        order = start + step
        now, row = _position(order, time, batch, DIRECTIONS)
        valid = (order < time) & (lane < HIDDEN)
        offset = row * (NUM_GATES + 1) * HIDDEN + lane
        gate = _gate(projected, offset, valid, HIDDEN, NUM_GATES)
        candidate = _load(projected, offset + NUM_GATES * HIDDEN, valid)
        token = valid & (now < length)
        forget, added = (
            tl.where(token, tl.sigmoid(gate), 1.0),
            tl.where(token, tl.sigmoid(-gate) * candidate, 0.0),
        )
        decay, added = tl.associative_scan((forget, added), 0, _compose)
        scanned = added + decay * state
        tl.store(states + row * HIDDEN + lane, scanned.to(states.dtype.element_ty), mask=valid)
        state = tl.sum(tl.where(step == STEPS - 1, scanned, 0.0), axis=0)[None, :]


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    projected,
    lengths,
    states,
    grad_output,
    grad_projected,
    time,
    batch,
    HIDDEN: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    NUM_GATES: tl.constexpr,
    STEPS: tl.constexpr,
    LANES: tl.constexpr,
):
    """With g_t = ∂L/∂h_t over all paths, g_t = grad_output_t + f_{t+1} · g_{t+1}: the scan in reverse."""
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)[None, :]
    length, step = tl.load(lengths + tl.program_id(0) // DIRECTIONS), tl.arange(0, STEPS)[:, None]
    ahead = tl.where(tl.program_id(0) % DIRECTIONS == 0, 1, -1)
    total = tl.zeros((1, LANES), dtype=tl.float32)
    for start in range(0, time, STEPS):
        order = time - 1 - start - step
        now, row = _position(order, time, batch, DIRECTIONS)
        stride = ahead * batch * DIRECTIONS  # rows between consecutive steps of the scan
        valid = (order >= 0) & (lane < HIDDEN)
        offset = row * (NUM_GATES + 1) * HIDDEN + lane
        has_next = valid & (order + 1 < time)
        next_gate = _gate(projected, offset + stride * (NUM_GATES + 1) * HIDDEN, has_next, HIDDEN, NUM_GATES)
        next_forget = tl.where(has_next & (now + ahead < length), tl.sigmoid(next_gate), 1.0)
        added_grad = _load(grad_output, row * HIDDEN + lane, valid)
        decay, added = tl.associative_scan((next_forget, added_grad), 0, _compose)
        gradient = added + decay * total
        total = tl.sum(tl.where(step == STEPS - 1, gradient, 0.0), axis=0)[None, :]
        previous = _load(states, (row - stride) * HIDDEN + lane, valid & (order > 0))
        gate = _gate(projected, offset, valid, HIDDEN, NUM_GATES)
        candidate = _load(projected, offset + NUM_GATES * HIDDEN, valid)
        gradient = tl.where(now < length, gradient, 0.0)
        grad_candidate = gradient * tl.sigmoid(-gate)
        grad_gate = grad_candidate * tl.sigmoid(gate) * (previous - candidate)
        dtype = grad_projected.dtype.element_ty
        tl.store(grad_projected + offset + NUM_GATES * HIDDEN, grad_candidate.to(dtype), mask=valid)
        if NUM_GATES == 2:
            forget, update = _load(projected, offset, valid), _load(projected, offset + HIDDEN, valid)
            tl.store(grad_projected + offset + HIDDEN, (-grad_gate * tl.sigmoid(-update)).to(dtype), mask=valid)
            grad_gate *= tl.sigmoid(-forget)
        tl.store(grad_projected + offset, grad_gate.to(dtype), mask=valid)
