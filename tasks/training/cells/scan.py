"""The linear recurrence h_t = f_t · h_{t-1} + x_t, elementwise, with h_0 = x_0, in few operations.

It is all that is sequential in minGRU and minLSTM (Feng et al. 2024, arXiv 2410.01201). This version is for
accelerators without Triton kernels, on which the time goes into launching operations. It cuts time into about
√T chunks of √T steps, runs each step in all chunks at once, then carries each chunk's last state into the next chunk:
about 3 · √T launches instead of T.
"""

from __future__ import annotations

from math import ceil, isqrt
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def gated_scan(projected: Tensor, mask: Tensor | None, num_gates: int, directions: int) -> Tensor:
    """States [time, batch, directions · hidden] from `projected` [time, batch, directions · (num_gates + 1) · hidden].

    `projected` holds each direction's gates before their sigmoids, then its candidate. A direction that starts in the
    padding has zero states until it reaches a token; `mask` [time, batch] is true at tokens.
    """
    chunks = projected.chunk(directions * (num_gates + 1), dim=-1)
    states = []
    for direction in range(directions):
        *gates, candidate = chunks[direction * (num_gates + 1) : (direction + 1) * (num_gates + 1)]
        forget = torch.sigmoid(gates[0] if num_gates == 1 else _log_ratio(*gates))
        inputs = (1 - forget) * candidate
        if mask is not None:
            inputs = inputs * mask.unsqueeze(-1)
        states.append(scan(forget, inputs, reverse=direction == 1))
    return torch.cat(states, dim=-1)


def _log_ratio(forget: Tensor, update: Tensor) -> Tensor:
    """log σ(forget) - log σ(update): its sigmoid is σ(forget) / (σ(forget) + σ(update)), without the division."""
    return functional.softplus(-update) - functional.softplus(-forget)


def scan(forget: Tensor, inputs: Tensor, reverse: bool = False) -> Tensor:
    """All states of the recurrence, [time, …] like `forget` and `inputs`; from the last step to the first if `reverse`.

    Computed in float32 at least. Differentiable once in both arguments. The gradient is the same recurrence in the
    opposite direction: with g_t = ∂L/∂h_t over all paths, g_{t-1} = grad_output_{t-1} + f_t · g_t, ∂L/∂x_t = g_t and
    ∂L/∂f_t = g_t · h_{t-1}.
    """
    states: Tensor = _Scan.apply(forget, inputs, reverse)  # type: ignore[no-untyped-call]
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forget: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
        states = _chunked_scan(forget, inputs, reverse).to(inputs.dtype)
        ctx.save_for_backward(forget, states)
        ctx.reverse = reverse
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None]:
        forget, states = ctx.saved_tensors
        next_forget = _shifted(forget, ahead=not ctx.reverse)
        grad_inputs = _chunked_scan(next_forget, grad_output, not ctx.reverse).to(grad_output.dtype)
        return grad_inputs * _shifted(states, ahead=ctx.reverse), grad_inputs, None


def _shifted(values: Tensor, ahead: bool) -> Tensor:
    """At each step the next step's value if `ahead`, else the previous one's; zeros past the end."""
    shifted = torch.zeros_like(values)
    if ahead:
        shifted[:-1] = values[1:]
    else:
        shifted[1:] = values[:-1]
    return shifted


def _chunked_scan(forget: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
    time, dtype = len(inputs), torch.promote_types(inputs.dtype, torch.float32)
    length = max(1, isqrt(time))
    chunks = ceil(time / length)
    shape = (chunks * length, *inputs.shape[1:])
    products, states = (torch.zeros(shape, dtype=dtype, device=inputs.device) for _ in range(2))
    products[:time], states[:time] = (value.flip(0) if reverse else value for value in (forget, inputs))
    product, state = (value.view(chunks, length, *shape[1:]).unbind(1) for value in (products, states))
    for step in range(length - 1):  # turns f_t into the product of its chunk's f up to t
        state[step + 1].addcmul_(product[step + 1], state[step])
        product[step + 1].mul_(product[step])
    starts = torch.zeros_like(state[-1])
    for chunk in range(chunks - 1):
        torch.addcmul(state[-1][chunk], product[-1][chunk], starts[chunk], out=starts[chunk + 1])
    states.addcmul_(products, starts.repeat_interleave(length, 0))
    return states[:time].flip(0) if reverse else states[:time]
