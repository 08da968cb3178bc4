"""The linear recurrence h_t = f_t · h_{t-1} + x_t, elementwise, with h_0 = x_0.

All that is sequential in minGRU and minLSTM (Feng et al. 2024, arXiv 2410.01201). Their heavy part, a matrix product
over all steps at once, happens before; here each step is one fused multiply-add on a contiguous slice, forward and
backward, so both passes read and write the memory once.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def scan(forget: Tensor, inputs: Tensor, reverse: bool = False) -> Tensor:
    """All states of the recurrence, [time, …] like `forget` and `inputs`; from the last step to the first if `reverse`.

    Differentiable once in both arguments. The gradient is the same recurrence, run the other way:
    with g_t = ∂L/∂h_t over all paths, g_{t-1} = ∂L/∂h_{t-1} (direct) + f_t · g_t, ∂L/∂x_t = g_t and
    ∂L/∂f_t = g_t · h_{t-1}.
    """
    states: Tensor = _Scan.apply(forget, inputs, reverse)  # type: ignore[no-untyped-call]
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forget: Tensor, inputs: Tensor, reverse: bool) -> Tensor:
        states = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        keep, add, state = forget.unbind(0), inputs.unbind(0), states.unbind(0)
        steps = _steps(len(state), reverse)
        state[steps[0]].copy_(add[steps[0]])
        for before, now in pairwise(steps):
            torch.addcmul(add[now], keep[now], state[before], out=state[now])
        ctx.save_for_backward(forget, states)
        ctx.reverse = reverse
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, direct: Tensor) -> tuple[Tensor, Tensor, None]:
        forget, states = ctx.saved_tensors
        total = direct.clone(memory_format=torch.contiguous_format)
        keep, gradient = forget.unbind(0), total.unbind(0)
        for before, now in reversed(list(pairwise(_steps(len(gradient), ctx.reverse)))):
            gradient[before].addcmul_(keep[now], gradient[now])
        by_forget = torch.zeros_like(total)
        if ctx.reverse:
            torch.mul(total[:-1], states[1:], out=by_forget[:-1])
        else:
            torch.mul(total[1:], states[:-1], out=by_forget[1:])
        return by_forget, total, None


def _steps(length: int, reverse: bool) -> range:
    return range(length - 1, -1, -1) if reverse else range(length)
