"""Minimal recurrent cells on a CPU: product, gates and scan of one block of time after another.

The output of a block's matrix product stays in the processor's cache until its steps have used it. The backward pass
keeps only gates and states, and visits the blocks in reverse order.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tasks.training.cells.cpu_workspace import BackwardWorkspace, ForwardWorkspace, ScanPlan


def blockwise_scan(inputs: Tensor, weight: Tensor, bias: Tensor, padding: Tensor | None, plan: ScanPlan) -> Tensor:
    """States [time, batch, directions · hidden] of a whole cell; cells.py has the equations.

    `weight` [directions · (num_gates + 1) · hidden, features] and `bias` hold a direction's gates, then its candidate.
    States do not change at `padding` [time, batch]. Differentiable once in the first three arguments.
    """
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in (inputs, weight, bias))
    states: Tensor = _BlockwiseScan.apply(inputs, weight, bias, padding, plan, keep)  # type: ignore[no-untyped-call]
    return states


class _BlockwiseScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, padding: Tensor | None, plan: ScanPlan, keep: bool
    ) -> Tensor:
        weights, biases, saved_gates = _by_direction(weight, plan), _by_direction(bias, plan), []
        # One more step at each end: the zeros that the directions start from.
        padded = torch.empty(plan.time + 2, plan.batch, plan.directions * plan.hidden, dtype=plan.dtype)
        padded[0], padded[-1] = 0, 0
        state = torch.zeros(plan.directions, plan.batch, plan.hidden, dtype=plan.dtype)
        workspaces = cache(lambda rows: ForwardWorkspace(plan, rows))
        for block in plan.blocks():
            workspace = workspaces(plan.rows(block))
            for direction, steps in enumerate(block):
                rows = inputs[steps].to(plan.product_dtype).flatten(0, 1)
                workspace.projected[direction] = fast_product(rows, weights[direction].t(), biases[direction])
            gates = _gates(workspace.projected, plan, None if padding is None else [padding[steps] for steps in block])
            forget = plan.steps(_forget_gate(gates, plan))
            for candidate, gate, out in zip(workspace.candidate_steps, forget, workspace.state_steps, strict=True):
                state = torch.lerp(candidate, state, gate, out=out)
            for direction, steps in enumerate(block):
                view = plan.direction_view(padded, direction, steps, ahead=1)
                view.copy_(workspace.states[direction].view(view.shape))
            if keep:
                saved_gates.append(gates)
        ctx.save_for_backward(inputs, weight, padded, *saved_gates)
        ctx.plan = plan
        return padded[1:-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, padded, *saved_gates = ctx.saved_tensors
        plan: ScanPlan = ctx.plan
        weights = _by_direction(weight, plan)
        grad_input = torch.zeros(inputs.shape, dtype=plan.dtype) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros(weights.shape, dtype=plan.dtype)
        grad_bias = torch.zeros(weights.shape[:2], dtype=plan.dtype)
        workspaces = cache(lambda rows: BackwardWorkspace(plan, rows))
        carry = torch.zeros((), dtype=plan.dtype)
        for block, gates in zip(reversed(plan.blocks()), reversed(saved_gates), strict=True):
            workspace = workspaces(plan.rows(block))
            for direction, steps in enumerate(block):
                view = plan.direction_view(grad_output, direction, steps)
                workspace.grad_states[direction].view(view.shape).copy_(view)
                previous, state = (plan.direction_view(padded, direction, steps, ahead) for ahead in (2 * direction, 1))
                torch.sub(previous, state, out=workspace.difference[direction].view(view.shape))
            forget = _forget_gate(gates, plan)
            carry = _scan_back(workspace.grad_steps, plan.steps(forget), carry)
            grad_projection = _grad_projection(workspace, forget, gates)
            grad_bias += grad_projection.sum(1)
            short = grad_projection.to(plan.product_dtype)
            for direction, steps in enumerate(block):
                rows = inputs[steps].to(plan.product_dtype).flatten(0, 1)
                grad_weight[direction] += fast_product(short[direction].t(), rows)
                if grad_input is not None:
                    grad_input[steps] += fast_product(short[direction], weights[direction]).view(inputs[steps].shape)
        return grad_input, grad_weight.view(weight.shape), grad_bias.flatten(), None, None, None


def _by_direction(weight: Tensor, plan: ScanPlan) -> Tensor:
    return weight.to(plan.product_dtype).view(plan.directions, -1, *weight.shape[1:])


def _gates(projected: Tensor, plan: ScanPlan, padding: list[Tensor] | None) -> Tensor:
    """The gates' sigmoids; at the directions' `padding` [steps, batch] they make the forget gate one."""
    gates = torch.sigmoid(projected[..., : -plan.hidden])
    if plan.num_gates == 2:
        gates += torch.finfo(plan.dtype).tiny  # two closed gates divide to one half instead of NaN
    if padding is not None:
        mask = torch.stack(padding).view(plan.directions, -1, 1)
        gates[..., -plan.hidden :].masked_fill_(mask, 1 if plan.num_gates == 1 else 0)
    return gates


def _forget_gate(gates: Tensor, plan: ScanPlan) -> Tensor:
    """The single forget gate; of minLSTM σ(forget) / (σ(forget) + σ(update))."""
    if plan.num_gates == 1:
        return gates
    forget, update = gates[..., : plan.hidden], gates[..., plan.hidden :]
    return forget / (forget + update)


def _scan_back(gradients: list[Tensor], forget: list[Tensor], carry: Tensor) -> Tensor:
    """Replaces the steps' grad_output by ∂L/∂h_t over all paths: g_{t-1} = grad_output_{t-1} + f_t · g_t.

    `carry` is f_t · g_t of the step after the last one here; the returned value is the same for the previous block.
    """
    gate, total = torch.ones_like(carry), carry
    for gradient, previous_gate in zip(reversed(gradients), reversed(forget), strict=True):
        total, gate = gradient.addcmul_(gate, total), previous_gate
    return gate * total


def _grad_projection(workspace: BackwardWorkspace, forget: Tensor, gates: Tensor) -> Tensor:
    """Gradient of the matrix product's output, from g_t = ∂L/∂h_t over all paths and `difference` h_{t-1} - h_t.

    The candidate's is g_t · (1 - f_t), the forget gate's before its sigmoid g_t · f_t · (h_{t-1} - h_t), since
    h_{t-1} - h_t = (1 - f_t) · (h_{t-1} - c_t): the backward pass does without the candidates.
    """
    gradient, out = workspace.grad_states, workspace.grad_projection
    hidden = gradient.shape[-1]
    carried = forget * gradient
    torch.sub(gradient, carried, out=out[..., -hidden:])
    carried *= workspace.difference
    if gates.shape[-1] == hidden:
        out[..., :hidden] = carried
    else:
        closed = 1 - gates
        torch.mul(carried, closed[..., :hidden], out=out[..., :hidden])
        torch.mul(carried.neg_(), closed[..., hidden:], out=out[..., hidden : 2 * hidden])
    return out


def fast_product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left @ right + bias on the CPU; float32 by oneDNN, since MKL (torch.mm) is half as fast on some processors."""
    use_onednn = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled  # type: ignore[no-untyped-call]
    if use_onednn and left.dtype == torch.float32:
        return functional.linear(left.to_mkldnn(), right.t(), bias).to_dense()
    return functional.linear(left, right.t(), bias)
