"""Gates and scan of the minimal recurrent cells as Triton kernels, for GPUs: one pass over memory each way.

A program owns some hidden units of one sequence in one direction and goes through time in tiles. Within a tile the
steps are combined pairwise (an associative scan), so that a tile's memory is fetched at once; from tile to tile the
state is carried in registers. Nothing but the states is written on the way forth, and the gates are computed again on
the way back. In float32, whatever the tensors are.
"""

# ruff: noqa: N803 (what Triton compiles in is in capitals)

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

STEPS, LANES = 64, 32
"""A tile: steps of time, hidden units."""


def scan_gates(projected: Tensor, lengths: Tensor, gates: int, directions: int) -> Tensor:
    """States [time, batch, directions · hidden] from `projected` [time, batch, directions · (gates + 1) · hidden].

    `projected` holds each direction's gates before their sigmoids, then its candidate; `lengths` [batch] lies on the
    same device, and states beyond them stay as they are. Differentiable once in `projected`. See cells.py for the
    equations.
    """
    states: Tensor = _Gates.apply(projected.contiguous(), lengths, gates, directions)  # type: ignore[no-untyped-call]
    return states


def try_out() -> None:
    """Compiles both kernels and runs them on two numbers; raises what Triton or the driver raises."""
    with torch.inference_mode(False), torch.enable_grad():
        projected = torch.zeros(1, 1, 2, device="cuda", requires_grad=True)
        states = scan_gates(projected, torch.ones(1, dtype=torch.int64, device="cuda"), gates=1, directions=1)
        states.sum().backward()  # type: ignore[no-untyped-call]


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, lengths: Tensor, gates: int, directions: int) -> Tensor:
        time, batch, width = projected.shape
        hidden = width // directions // (gates + 1)
        states = projected.new_empty(time, batch, directions * hidden)
        sizes = (time, batch, hidden, directions, gates, STEPS, LANES)
        with torch.cuda.device_of(projected):  # type: ignore[no-untyped-call]
            _forward[(batch * directions, triton.cdiv(hidden, LANES))](projected, lengths, states, *sizes)
        ctx.save_for_backward(projected, lengths, states)
        ctx.sizes = sizes
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, direct: Tensor) -> tuple[Tensor, None, None, None]:
        projected, lengths, states = ctx.saved_tensors
        _, batch, hidden, directions, *_ = ctx.sizes
        by_projected, direct = torch.empty_like(projected), direct.contiguous()
        with torch.cuda.device_of(projected):  # type: ignore[no-untyped-call]
            grid = (batch * directions, triton.cdiv(hidden, LANES))
            _backward[grid](projected, lengths, states, direct, by_projected, *ctx.sizes)
        return by_projected, None, None, None


@triton.jit
def _softplus(value):  # type: ignore[no-untyped-def]
    return tl.maximum(value, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(value)))


@triton.jit
def _load(values, at, there):  # type: ignore[no-untyped-def]
    """In float32, and zero where nothing is."""
    return tl.load(values + at, mask=there, other=0.0).to(tl.float32)


@triton.jit
def _place(order, time, batch, DIRECTIONS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The points in time that come at `order` in this program's direction, and the rows that hold them."""
    sequence, direction = tl.program_id(0) // DIRECTIONS, tl.program_id(0) % DIRECTIONS
    now = tl.where(direction == 0, order, time - 1 - order)
    return now, (now.to(tl.int64) * batch + sequence) * DIRECTIONS + direction


@triton.jit
def _gate(projected, at, there, HIDDEN: tl.constexpr, GATES: tl.constexpr):  # type: ignore[no-untyped-def]
    """The forget gate before its sigmoid; minLSTM's two become one without a division."""
    opened = _load(projected, at, there)
    if GATES == 2:
        take = _load(projected, at + HIDDEN, there)
        opened = _softplus(-take) - _softplus(-opened)
    return opened


@triton.jit
def _then(forget, added, next_forget, next_added):  # type: ignore[no-untyped-def]
    """Two runs of steps as one."""
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
    GATES: tl.constexpr,
    STEPS: tl.constexpr,
    LANES: tl.constexpr,
):
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)[None, :]
    length, step = tl.load(lengths + tl.program_id(0) // DIRECTIONS), tl.arange(0, STEPS)[:, None]
    state = tl.zeros((1, LANES), dtype=tl.float32)
    for start in range(0, time, STEPS):
        order = start + step
        now, row = _place(order, time, batch, DIRECTIONS)
        there = (order < time) & (lane < HIDDEN)
        at = row * (GATES + 1) * HIDDEN + lane
        gate = _gate(projected, at, there, HIDDEN, GATES)
        candidate = _load(projected, at + GATES * HIDDEN, there)
        inside = there & (now < length)
        forget, added = tl.where(inside, tl.sigmoid(gate), 1.0), tl.where(inside, tl.sigmoid(-gate) * candidate, 0.0)
        kept, added = tl.associative_scan((forget, added), 0, _then)
        scanned = added + kept * state
        tl.store(states + row * HIDDEN + lane, scanned.to(states.dtype.element_ty), mask=there)
        state = tl.sum(tl.where(step == STEPS - 1, scanned, 0.0), axis=0)[None, :]


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    projected,
    lengths,
    states,
    direct,
    by_projected,
    time,
    batch,
    HIDDEN: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    GATES: tl.constexpr,
    STEPS: tl.constexpr,
    LANES: tl.constexpr,
):
    """With g_t = ∂L/∂h_t over all paths, g_t = direct_t + f_{t+1} · g_{t+1}: the same scan from the last step on."""
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)[None, :]
    length, step = tl.load(lengths + tl.program_id(0) // DIRECTIONS), tl.arange(0, STEPS)[:, None]
    ahead = tl.where(tl.program_id(0) % DIRECTIONS == 0, 1, -1)
    total = tl.zeros((1, LANES), dtype=tl.float32)
    for start in range(0, time, STEPS):
        order = time - 1 - start - step
        now, row = _place(order, time, batch, DIRECTIONS)
        further = ahead * batch * DIRECTIONS  # rows from a step to the next one of the scan
        there = (order >= 0) & (lane < HIDDEN)
        at = row * (GATES + 1) * HIDDEN + lane
        following = there & (order + 1 < time)
        next_gate = _gate(projected, at + further * (GATES + 1) * HIDDEN, following, HIDDEN, GATES)
        next_forget = tl.where(following & (now + ahead < length), tl.sigmoid(next_gate), 1.0)
        given = _load(direct, row * HIDDEN + lane, there)
        kept, added = tl.associative_scan((next_forget, given), 0, _then)
        gradient = added + kept * total
        total = tl.sum(tl.where(step == STEPS - 1, gradient, 0.0), axis=0)[None, :]
        before = _load(states, (row - further) * HIDDEN + lane, there & (order > 0))
        gate = _gate(projected, at, there, HIDDEN, GATES)
        candidate = _load(projected, at + GATES * HIDDEN, there)
        gradient = tl.where(now < length, gradient, 0.0)
        by_candidate = gradient * tl.sigmoid(-gate)
        by_gate = by_candidate * tl.sigmoid(gate) * (before - candidate)
        kind = by_projected.dtype.element_ty
        tl.store(by_projected + at + GATES * HIDDEN, by_candidate.to(kind), mask=there)
        if GATES == 2:
            forget, take = _load(projected, at, there), _load(projected, at + HIDDEN, there)
            tl.store(by_projected + at + HIDDEN, (-by_gate * tl.sigmoid(-take)).to(kind), mask=there)
            by_gate *= tl.sigmoid(-forget)
        tl.store(by_projected + at, by_gate.to(kind), mask=there)
