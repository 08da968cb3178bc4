"""The learning rate as a function of training progress, so that checkpoints need no scheduler state."""

from __future__ import annotations

from math import cos, pi

START, END = 1 / 25, 1e-4
"""First and last learning rate of one_cycle, relative to the highest."""


def lr_factor(schedule: str, done: float, warmup_fraction: float) -> float:
    """The learning rate relative to the highest, when the fraction `done` (0 … 1) of all epochs is done.

    one_cycle: half a cosine up from START, another down to END (Smith & Topin 2018); cosine: down to zero; constant: 1.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _anneal(1.0, 0.0, done)
    if done < warmup_fraction:
        return _anneal(START, 1.0, done / warmup_fraction)
    return _anneal(1.0, END, (done - warmup_fraction) / (1 - warmup_fraction))


def _anneal(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + cos(pi * done)) / 2
