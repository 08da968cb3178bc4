"""The figures of an epoch's steps, and who is told of them while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks.training.data.shuffle import Batch, Epoch


@dataclass(frozen=True)
class Progress:
    """Where training stands inside an epoch."""

    epoch: int
    epochs: int
    share: float
    loss: float
    """Mean over the windows of this epoch so far."""
    tokens_per_second: float


@dataclass(frozen=True)
class Listener:
    """Hears of the progress inside an epoch."""

    tell: Callable[[Progress], None]
    every: float = 2.0
    """Seconds from one call to the next."""
    learned: Callable[[Mapping[str, Any]], None] = lambda row: None
    """Hears of each epoch's row of the history."""


SILENT = Listener(lambda progress: None)


class NotFiniteError(Exception):
    """The loss or the gradient of a batch (both counted from 1) is infinite or NaN."""

    def __init__(self, epoch: int, batch: int, what: str) -> None:
        super().__init__()
        self.epoch, self.batch, self.what = epoch, batch, what


class Steps:
    """Collects the steps' figures of an epoch; fetches them from the device when it reports, so that no step waits."""

    def __init__(self, number: int, epochs: int, epoch: Epoch, listener: Listener) -> None:
        self.number, self.epochs, self.windows, self.listener = number, epochs, epoch.windows, listener
        self.started = self.spoken = time.monotonic()
        self.waiting: list[Tensor] = []
        self.sizes: list[int] = []
        self.tokens = 0
        self.rows = np.empty((0, 3))

    def add(self, batch: Batch, figures: Tensor) -> None:
        """Notes a step's loss, windows right and gradient norm [3]; raises NotFiniteError, at times some steps late."""
        self.waiting.append(figures)
        self.sizes.append(len(batch))
        self.tokens += batch.tokens
        now = time.monotonic()
        if now - self.spoken >= self.listener.every:
            self.spoken = now
            self._fetch()
            share = sum(self.sizes) / self.windows
            rate = self.tokens / (now - self.started)
            self.listener.tell(Progress(self.number, self.epochs, share, self._loss(), rate))

    def _fetch(self) -> None:
        self.rows = np.concatenate([self.rows, torch.stack(self.waiting).cpu().double().numpy()])
        self.waiting = []
        bad = np.argwhere(~np.isfinite(self.rows[:, [0, 2]]))
        if len(bad):
            raise NotFiniteError(self.number, int(bad[0, 0]) + 1, ("loss", "gradient")[bad[0, 1]])

    def _loss(self) -> float:
        return float(np.average(self.rows[:, 0], weights=self.sizes))

    def summary(self, max_grad_norm: float) -> dict[str, float]:
        """The epoch's figures, named as in the history."""
        if self.waiting:
            self._fetch()
        norms = self.rows[:, 2]
        return {
            "train_loss": self._loss(),
            "train_window_accuracy": float(self.rows[:, 1].sum() / self.windows),
            "gradient_norm_mean": float(norms.mean()),
            "gradient_norm_max": float(norms.max()),
            "clipped_share": float((norms > max_grad_norm).mean()),
            "tokens_per_second": self.tokens / max(time.monotonic() - self.started, 1e-9),
        }
