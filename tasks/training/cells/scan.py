"""The linear recurrence h_t = f_t · h_{t-1} + x_t, elementwise, with h_0 = x_0, in few operations.

All that is sequential in minGRU and minLSTM (Feng et al. 2024, arXiv 2410.01201), for accelerators that have no kernel
of their own here: what costs there is each operation's launch. So time is cut into about √T chunks of √T steps, each
step runs in all chunks at once, then the chunks' ends are carried from chunk to chunk: about 3 · √T launches, not T.
"""

from __future__ import annotations

from math import ceil, isqrt
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def gated_scan(projected: Tensor, inside: Tensor | None, gates: int, directions: int) -> Tensor:
    """States [time, batch, directions · hidden] from `projected` [time, batch, directions · (gates + 1) · hidden].

    `projected` holds each direction's gates before their sigmoids, then its candidate. The states of a direction that
    starts in the padding are zero until it is `inside` [time, batch].
    """
    parts = projected.chunk(directions * (gates + 1), dim=-1)
    states = []
    for direction in range(directions):
        *opened, candidate = parts[direction * (gates + 1) : (direction + 1) * (gates + 1)]
        forget = torch.sigmoid(opened[0] if gates == 1 else _log_ratio(*opened))
        added = (1 - forget) * candidate
        if inside is not None:
            added = added * inside.unsqueeze(-1)
        states.append(scan(forget, added, reverse=direction == 1))
    return torch.cat(states, dim=-1)


def _log_ratio(forget: Tensor, take: Tensor) -> Tensor:
    """log σ(forget) - log σ(take): its sigmoid is σ(forget) / (σ(forget) + σ(take)), without the division."""
    return functional.softplus(-take) - functional.softplus(-forget)


def scan(forget: Tensor, inputs: Tensor, reverse: bool = False) -> Tensor:
    """All states of the recurrence, [time, …] like `forget` and `inputs`; from the last step to the first if `reverse`.

    Computed in float32 at least. Differentiable once in both arguments. The gradient is the same recurrence, run the
    other way: with g_t = ∂L/∂h_t over all paths, g_{t-1} = ∂L/∂h_{t-1} (direct) + f_t · g_t, ∂L/∂x_t = g_t and
    ∂L/∂f_t = g_t · h_{t-1}.
    """
    states: Tensor = _Scan.apply(forget, inputs, reverse)  # type: ignore[no-untyped-call]
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forget: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
        states = _in_chunks(forget, inputs, reverse).to(inputs.dtype)
        ctx.save_for_backward(forget, states)
        ctx.reverse = reverse
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, direct: Tensor) -> tuple[Tensor, Tensor, None]:
        forget, states = ctx.saved_tensors
        after = _shifted(forget, ahead=not ctx.reverse)
        total = _in_chunks(after, direct, not ctx.reverse).to(direct.dtype)
        return total * _shifted(states, ahead=ctx.reverse), total, None


def _shifted(values: Tensor, ahead: bool) -> Tensor:
    """At each step the next step's value if `ahead`, else the one before; zeros where there is none."""
    moved = torch.zeros_like(values)
    if ahead:
        moved[:-1] = values[1:]
    else:
        moved[1:] = values[:-1]
    return moved


def _in_chunks(forget: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
    time, work = len(inputs), torch.promote_types(inputs.dtype, torch.float32)
    length = max(1, isqrt(time))
    chunks = ceil(time / length)
    shape = (chunks * length, *inputs.shape[1:])
    kept, states = (torch.zeros(shape, dtype=work, device=inputs.device) for _ in range(2))
    kept[:time], states[:time] = (value.flip(0) if reverse else value for value in (forget, inputs))
    keep, state = (value.view(chunks, length, *shape[1:]).unbind(1) for value in (kept, states))
    for before in range(length - 1):  # afterwards kept_t is the product of a chunk's f up to t
        state[before + 1].addcmul_(keep[before + 1], state[before])
        keep[before + 1].mul_(keep[before])
    starts = torch.zeros_like(state[-1])
    for chunk in range(chunks - 1):
        torch.addcmul(state[-1][chunk], keep[-1][chunk], starts[chunk], out=starts[chunk + 1])
    states.addcmul_(kept, starts.repeat_interleave(length, 0))
    return states[:time].flip(0) if reverse else states[:time]
