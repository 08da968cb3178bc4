"""The training metrics of an epoch, and the callbacks that report them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """Progress within an epoch."""

    fold: int
    """Of the network that is trained."""
    epoch: int
    epochs: int
    share: float
    loss: float
    """Mean over the windows of this epoch so far."""
    tokens_per_second: float


@dataclass(frozen=True)
class Callback:
    """Functions that the training loop calls."""

    on_progress: Callable[[Progress], None] = lambda progress: None
    """Called within an epoch, at most once per `interval`."""
    on_epoch_end: Callable[[Mapping[str, Any]], None] = lambda row: None
    """Called with each epoch's row of the history."""
    interval: float = 2.0
    """In seconds."""


NO_CALLBACK = Callback()


class NotFiniteError(Exception):
    """The loss or the gradient of a batch (both counted from 1) is infinite or NaN."""

    def __init__(self, epoch: int, batch: int, what: str) -> None:
        super().__init__()
        self.epoch, self.batch, self.what = epoch, batch, what


class EpochMetrics:
    """Metrics of an epoch's steps; fetched from the device only for a report, so that no step waits for them."""

    def __init__(self, fold: int, epoch: int, epochs: int, windows: int, callback: Callback) -> None:
        self.fold, self.epoch, self.epochs, self.windows, self.callback = fold, epoch, epochs, windows, callback
        self.started = self.reported = time.monotonic()
        self.pending: list[Tensor] = []
        self.batch_sizes: list[int] = []
        self.tokens = 0
        self.steps = np.empty((0, 3))

    def add(self, windows: int, tokens: int, metrics: Tensor) -> None:
        """Adds a step's loss, correct windows and gradient norm [3], and its number of windows and of their tokens.

        Raises NotFiniteError, possibly some steps late.
        """
        self.pending.append(metrics)
        self.batch_sizes.append(windows)
        self.tokens += tokens
        now = time.monotonic()
        if now - self.reported >= self.callback.interval:
            self.reported = now
            self._fetch()
            share, speed = sum(self.batch_sizes) / self.windows, self.tokens / (now - self.started)
            self.callback.on_progress(Progress(self.fold, self.epoch, self.epochs, share, self._loss(), speed))

    def _fetch(self) -> None:
        self.steps = np.concatenate([self.steps, torch.stack(self.pending).cpu().double().numpy()])
        self.pending = []
        bad = np.argwhere(~np.isfinite(self.steps[:, [0, 2]]))
        if len(bad):
            raise NotFiniteError(self.epoch, int(bad[0, 0]) + 1, ("loss", "gradient")[bad[0, 1]])

    def _loss(self) -> float:
        return float(np.average(self.steps[:, 0], weights=self.batch_sizes))

    def summary(self, max_grad_norm: float) -> dict[str, float]:
        """The epoch's metrics, named as in the history."""
        if self.pending:
            self._fetch()
        norms = self.steps[:, 2]
        return {
            "train_loss": self._loss(),
            "train_window_accuracy": float(self.steps[:, 1].sum() / self.windows),
            "gradient_norm_mean": float(norms.mean()),
            "gradient_norm_max": float(norms.max()),
            "clipped_share": float((norms > max_grad_norm).mean()),
            "tokens_per_second": self.tokens / max(time.monotonic() - self.started, 1e-9),
        }
