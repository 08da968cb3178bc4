"""The learning rate as a function of how far training has come: nothing to keep in a checkpoint."""

from __future__ import annotations

from math import cos, pi

START, END = 1 / 25, 1e-4
"""Where one_cycle starts and ends, as shares of the highest rate."""


def rate_share(schedule: str, done: float, warmup_fraction: float) -> float:
    """Share of the highest learning rate when `done` (0 … 1) of all epochs lie behind.

    one_cycle: half a cosine up from START, another down to END (Smith & Topin 2018); cosine: down to zero; constant: 1.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _between(1.0, 0.0, done)
    if done < warmup_fraction:
        return _between(START, 1.0, done / warmup_fraction)
    return _between(1.0, END, (done - warmup_fraction) / (1 - warmup_fraction))


def _between(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + cos(pi * share)) / 2
