"""AdamW without decay of the embeddings, its learning rate over a training, and its state as tensors with names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def make_optimizer(network: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW for all parameters; those of `embedding` do not decay, since a rare token's would vanish."""
    embedded = [value for name, value in network.named_parameters() if name.startswith("embedding.")]
    others = [value for name, value in network.named_parameters() if not name.startswith("embedding.")]
    groups = [{"params": others, "weight_decay": weight_decay}, {"params": embedded, "weight_decay": 0.0}]
    fused = all(value.device.type != "mps" for value in network.parameters())
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), fused=fused)


def rate_factor(done: float, warmup_fraction: float) -> float:
    """The learning rate relative to its peak when the fraction `done` of all steps is done: linear up, then to zero."""
    if done < warmup_fraction:
        return max(done / warmup_fraction, 1e-3)
    return (1 - done) / (1 - warmup_fraction)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state, by `<parameter's position>.<key>`, on the CPU."""
    state = optimizer.state_dict()["state"]
    return {f"{at}.{key}": value.cpu().contiguous() for at, values in state.items() for key, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The reverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        position, _, key = name.partition(".")
        state.setdefault(int(position), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
