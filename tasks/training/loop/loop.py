"""The training loop: epochs of windows, validation, early stopping, checkpoints.

The objective (objective.py) defines what is learned. The loop keeps the weights of the epoch with the lowest validation
loss.

All randomness of an epoch (window offsets and shuffling, see shuffle.py, and dropout) follows from the seed and the
epoch's number, and the learning rate from the fraction of the training done. So a checkpoint needs neither generator
nor scheduler state, and a resumed training repeats an uninterrupted one exactly.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tasks.shared.errors import TrainingError
from tasks.training.data.shuffle import Batch, ShuffledBatches
from tasks.training.data.windows import collate
from tasks.training.loop.checkpoint import Checkpoints, Snapshot
from tasks.training.loop.epoch_metrics import NO_CALLBACK, Callback, EpochMetrics, NotFiniteError
from tasks.training.loop.schedule import lr_factor
from tasks.training.runtime import collectives
from tasks.training.runtime.device import deterministic_rng
from tasks.training.runtime.precision import autocast, choose_precision

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.objectives.objective import Objective
    from tasks.training.settings import TrainingSettings


@dataclass(frozen=True)
class Trained:
    """The weights of the kept epoch, on the CPU, and one row of history per epoch (see schema.py)."""

    weights: dict[str, Tensor]
    history: list[dict[str, Any]]
    kept_epoch: int


def train(
    settings: TrainingSettings,
    objective: Objective,
    training: TokenizedDocuments,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    callback: Callback = NO_CALLBACK,
) -> Trained:
    """Trains to the last epoch, or until `patience` epochs did not improve; resumes from a checkpoint if there is one.

    Raises TrainingError as soon as a loss or a gradient is not finite, and for a checkpoint of another training.
    """
    with deterministic_rng(device, settings.deterministic):
        trainer = _Trainer(settings, objective, training, device)
        snapshot = checkpoints.load() if checkpoints else None
        if snapshot:
            trainer.restore(snapshot)
        while not trainer.finished:
            try:
                trainer.run_epoch(callback)
            except NotFiniteError as error:
                raise TrainingError(_explain(error, checkpoints)) from None
            if checkpoints and collectives.rank() == 0:
                checkpoints.save(len(trainer.history), trainer.snapshot())
    history = [{**row, "kept": row["epoch"] == trainer.kept_epoch} for row in trainer.history]
    return Trained(trainer.kept_weights, history, trainer.kept_epoch)


def _explain(error: NotFiniteError, checkpoints: Checkpoints | None) -> str:
    newest = checkpoints.newest() if checkpoints else None
    return (
        f"epoch {error.epoch}, batch {error.batch}: the {error.what} is not finite; lower training.learning_rate or "
        f"training.max_grad_norm (last finite checkpoint: {newest or 'none'})"
    )


class _Trainer:
    """The state of a training, and its steps."""

    def __init__(
        self,
        settings: TrainingSettings,
        objective: Objective,
        training: TokenizedDocuments,
        device: torch.device,
    ) -> None:
        self.settings, self.objective, self.training, self.device = settings, objective, training, device
        self.model = objective.model
        self.loss = collectives.wrap_ddp(objective.model, objective.loss)
        self.precision = choose_precision(settings.precision, settings.cell, device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=device.type != "mps",
        )
        self.history: list[dict[str, Any]] = []
        self.kept_weights: dict[str, Tensor] = {}
        self.kept_epoch = 0

    @property
    def finished(self) -> bool:
        done = len(self.history)
        return done >= self.settings.epochs or (done > 0 and done - self.kept_epoch >= self.settings.patience)

    def run_epoch(self, callback: Callback) -> None:
        """Trains once on every window of a fresh cut, validates, and adds a row to the history."""
        epoch, started = len(self.history) + 1, time.monotonic()
        rng = np.random.default_rng((self.settings.seed, epoch))
        torch.manual_seed(int(rng.integers(2**63)) + collectives.rank())  # each process has its own dropout
        settings = self.settings
        batches = ShuffledBatches(self.training, settings.window, settings.batch_size, settings.shuffle_tokens, rng)
        metrics = EpochMetrics(epoch, settings.epochs, batches.windows, callback)
        for step, batch in enumerate(batches):
            self._set_learning_rate((epoch - 1 + step / batches.steps) / settings.epochs)
            metrics.add(batch, self._step(batch))
        summary = metrics.summary(settings.max_grad_norm)
        validation = collectives.broadcast_from_rank0(self.objective.validate)
        if not math.isfinite(validation.loss):
            raise NotFiniteError(epoch, batches.steps, "validation loss")
        if not self.history or validation.loss < min(row["validation_loss"] for row in self.history):
            self.kept_epoch = epoch
            self.kept_weights = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        self.history.append(
            {
                "epoch": epoch,
                **summary,
                "validation_loss": validation.loss,
                "validation_window_accuracy": validation.window_accuracy,
                "validation_accuracy": validation.accuracy,
                "validation_macro_f1": validation.macro_f1,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "seconds": time.monotonic() - started,
                "precision": self.precision,
            }
        )
        callback.on_epoch_end(self.history[-1])

    def _set_learning_rate(self, done: float) -> None:
        factor = lr_factor(self.settings.schedule, done, self.settings.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def _step(self, batch: Batch) -> Tensor:
        """One step; its loss, correct windows and gradient norm [3], on the device so that nothing waits for them."""
        shard = collectives.shard(batch.positions)
        ids, lengths = collate(batch.ids, batch.windows, shard, self.device)
        self.model.train()
        with autocast(self.precision, self.device):
            loss, correct = self.loss(ids, lengths, batch.windows.documents[shard])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        correct = correct.to(loss) / collectives.replication(batch.positions)
        metrics = collectives.all_reduce_sum(torch.stack([loss.detach(), correct]))
        return torch.cat([metrics, norm.detach().reshape(1)])

    def snapshot(self) -> Snapshot:
        tensors = {
            f"model.{name}": value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()
        }
        tensors |= {f"kept.{name}": value for name, value in self.kept_weights.items()}
        for position, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{position}.{key}": value.cpu().contiguous() for key, value in state.items()}
        return Snapshot(tensors, {"history": self.history, "kept_epoch": self.kept_epoch})

    def restore(self, snapshot: Snapshot) -> None:
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "kept": {}, "optimizer": {}}
        for name, value in snapshot.tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in groups["optimizer"].items():
            position, _, key = name.partition(".")
            state.setdefault(int(position), {})[key] = value
        self.model.load_state_dict(groups["model"])
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.kept_weights, self.kept_epoch = groups["kept"], snapshot.state["kept_epoch"]
        self.history = list(snapshot.state["history"])
