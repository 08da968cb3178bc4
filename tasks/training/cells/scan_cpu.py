"""Minimal recurrent cells on a CPU: product, gates and scan of one block of time after the other.

What a block's matrix product puts out stays in the processor's cache until the steps have used it up. Only the opened
gates and the states are kept for the backward pass, which goes over the blocks the other way.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tasks.training.cells.cpu_workspace import BackwardMemory, ForwardMemory, Layer


def scan_blocks(inputs: Tensor, weight: Tensor, bias: Tensor, outside: Tensor | None, layer: Layer) -> Tensor:
    """States [time, batch, directions · hidden] of a whole cell, whose equations are in cells.py.

    `weight` [directions · (gates + 1) · hidden, features] and `bias` hold a direction's gates, then its candidate.
    Where `outside` [time, batch] is true, states stay as they are. Differentiable once in the first three arguments.
    """
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in (inputs, weight, bias))
    states: Tensor = _Blocks.apply(inputs, weight, bias, outside, layer, keep)  # type: ignore[no-untyped-call]
    return states


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, outside: Tensor | None, layer: Layer, keep: bool
    ) -> Tensor:
        weights, biases, kept = _by_direction(weight, layer), _by_direction(bias, layer), []
        # One step more at each end: the zeros that the directions start from.
        padded = torch.empty(layer.time + 2, layer.batch, layer.directions * layer.hidden, dtype=layer.dtype)
        padded[0], padded[-1] = 0, 0
        state = torch.zeros(layer.directions, layer.batch, layer.hidden, dtype=layer.dtype)
        work = cache(lambda rows: ForwardMemory(layer, rows))
        for block in layer.blocks():
            memory = work(layer.rows(block))
            for direction, part in enumerate(block):
                rows = inputs[part].to(layer.product).flatten(0, 1)
                memory.projected[direction] = fast_product(rows, weights[direction].t(), biases[direction])
            opened = _open(memory.projected, layer, None if outside is None else [outside[part] for part in block])
            gates = layer.steps(_forget(opened, layer))
            for candidate, gate, now in zip(memory.candidate_steps, gates, memory.state_steps, strict=True):
                state = torch.lerp(candidate, state, gate, out=now)
            for direction, part in enumerate(block):
                lane = layer.lane(padded, direction, part, ahead=1)
                lane.copy_(memory.states[direction].view(lane.shape))
            if keep:
                kept.append(opened)
        ctx.save_for_backward(inputs, weight, padded, *kept)
        ctx.layer = layer
        return padded[1:-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, direct: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, padded, *kept = ctx.saved_tensors
        layer: Layer = ctx.layer
        weights = _by_direction(weight, layer)
        by_inputs = torch.zeros(inputs.shape, dtype=layer.dtype) if ctx.needs_input_grad[0] else None
        by_weights = torch.zeros(weights.shape, dtype=layer.dtype)
        by_biases = torch.zeros(weights.shape[:2], dtype=layer.dtype)
        work = cache(lambda rows: BackwardMemory(layer, rows))
        carry = torch.zeros((), dtype=layer.dtype)
        for block, opened in zip(reversed(layer.blocks()), reversed(kept), strict=True):
            memory = work(layer.rows(block))
            for direction, part in enumerate(block):
                given = layer.lane(direct, direction, part)
                memory.gradient[direction].view(given.shape).copy_(given)
                before, after = (layer.lane(padded, direction, part, ahead) for ahead in (2 * direction, 1))
                torch.sub(before, after, out=memory.change[direction].view(given.shape))
            forget = _forget(opened, layer)
            carry = _scan_back(memory.gradient_steps, layer.steps(forget), carry)
            by_product = _by_product(memory.gradient, forget, memory.change, opened, out=memory.by_product)
            by_biases += by_product.sum(1)
            short = by_product.to(layer.product)
            for direction, part in enumerate(block):
                rows = inputs[part].to(layer.product).flatten(0, 1)
                by_weights[direction] += fast_product(short[direction].t(), rows)
                if by_inputs is not None:
                    by_inputs[part] += fast_product(short[direction], weights[direction]).view(inputs[part].shape)
        return by_inputs, by_weights.view(weight.shape), by_biases.flatten(), None, None, None


def _by_direction(weight: Tensor, layer: Layer) -> Tensor:
    return weight.to(layer.product).view(layer.directions, -1, *weight.shape[1:])


def _open(projected: Tensor, layer: Layer, outside: list[Tensor] | None) -> Tensor:
    """The gates' sigmoids, such that the forget gate is one in the directions' `outside` [steps, batch]."""
    opened = torch.sigmoid(projected[..., : -layer.hidden])
    if layer.gates == 2:
        opened += torch.finfo(layer.dtype).tiny  # two gates that are both shut divide to one half
    if outside is not None:
        where = torch.stack(outside).view(layer.directions, -1, 1)
        opened[..., -layer.hidden :].masked_fill_(where, 1 if layer.gates == 1 else 0)
    return opened


def _forget(opened: Tensor, layer: Layer) -> Tensor:
    """The one forget gate; of minLSTM σ(forget) / (σ(forget) + σ(take))."""
    if layer.gates == 1:
        return opened
    forget, take = opened[..., : layer.hidden], opened[..., layer.hidden :]
    return forget / (forget + take)


def _scan_back(gradients: list[Tensor], forget: list[Tensor], carry: Tensor) -> Tensor:
    """∂L/∂h_t over all paths, in place of the direct ones: g_{t-1} = direct_{t-1} + f_t · g_t.

    `carry` is f_t · g_t of the step after the last one here; so is what is returned, for the block before.
    """
    gate, total = torch.ones_like(carry), carry
    for now, before in zip(reversed(gradients), reversed(forget), strict=True):
        total, gate = now.addcmul_(gate, total), before
    return gate * total


def _by_product(gradient: Tensor, forget: Tensor, change: Tensor, opened: Tensor, out: Tensor) -> Tensor:
    """∂L/∂ what the matrix product puts out, from g_t = ∂L/∂h_t over all paths and `change` h_{t-1} - h_t.

    The candidate's is g_t · (1 - f_t), the forget gate's before its sigmoid g_t · f_t · (h_{t-1} - h_t), since
    h_{t-1} - h_t = (1 - f_t) · (h_{t-1} - c_t): the candidates themselves need not be kept.
    """
    hidden = gradient.shape[-1]
    passed = forget * gradient
    torch.sub(gradient, passed, out=out[..., -hidden:])
    passed *= change
    if opened.shape[-1] == hidden:
        out[..., :hidden] = passed
    else:
        shut = 1 - opened
        torch.mul(passed, shut[..., :hidden], out=out[..., :hidden])
        torch.mul(passed.neg_(), shut[..., hidden:], out=out[..., hidden : 2 * hidden])
    return out


def fast_product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left @ right + bias on the CPU; float32 by oneDNN, since MKL (torch.mm) is half as fast on some processors."""
    by_onednn = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled  # type: ignore[no-untyped-call]
    if by_onednn and left.dtype == torch.float32:
        return functional.linear(left.to_mkldnn(), right.t(), bias).to_dense()
    return functional.linear(left, right.t(), bias)
