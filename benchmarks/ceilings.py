"""The measured limits of a device, and the shortest possible time of a training step on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

PRODUCTS = {"none": 0, "rnn": 1, "gru": 3, "lstm": 4, "mingru": 2, "minlstm": 3}
"""Matrices of a cell that multiply its inputs, each [features, hidden]."""
RECURRENT = ("rnn", "gru", "lstm")
"""Cells that multiply their states by as many matrices."""
ROUNDS = 10
ACCESSES = 4
"""Memory accesses per activation: written and read, and its gradient likewise."""


@dataclass(frozen=True)
class Ceilings:
    """The limits of one device."""

    flops: dict[str, float]
    """Floating-point operations a second of a large matrix product, by precision."""
    bandwidth: float
    """Bytes a second, read and written, of a large copy."""


def seconds_of(work: Callable[[], object], device: torch.device, rounds: int, warm: int = 1) -> list[float]:
    """Seconds of each round, after `warm` uncounted ones; waits for the device before it stops the clock."""
    seconds = []
    for _ in range(warm + rounds):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return seconds[warm:]


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def measure_ceilings(device: torch.device, precisions: list[str]) -> Ceilings:
    """Products of 8,192² values on a GPU and of 2,048² on a CPU; copies of 1 GiB and of 256 MiB; the best of ten."""
    side = 8192 if device.type == "cuda" else 2048
    flops = {}
    for precision in precisions:
        left = torch.randn(side, side, device=device, dtype=getattr(torch, precision))
        product = partial(torch.mm, left, left, out=torch.empty_like(left))
        flops[precision] = 2 * side**3 / min(seconds_of(product, device, ROUNDS))
    return Ceilings(flops, measure_bandwidth(device))


def measure_bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy of 1 GiB on a GPU and of 256 MiB on a CPU; the best of ten."""
    source = torch.ones(2**28 if device.type == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(seconds_of(lambda: target.copy_(source), device, ROUNDS))
