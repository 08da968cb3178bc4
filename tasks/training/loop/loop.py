"""The training loop: epochs of windows, validation, early stopping, checkpoints.

What is learned is the objective's affair (objective.py). The weights of the epoch with the lowest validation loss are
kept.

All that is random in an epoch (window offsets and shuffling, see shuffle.py, and dropout) comes from the seed and the
epoch's number, and the learning rate from the share of training done. So a checkpoint needs neither generator nor
scheduler states, and a run that goes on from one does exactly what an uninterrupted run does.
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
from tasks.training.data.shuffle import Batch, Epoch
from tasks.training.data.windows import gather
from tasks.training.loop.checkpoint import Checkpoints, Snapshot
from tasks.training.loop.epoch_metrics import SILENT, Listener, NotFiniteError, Steps
from tasks.training.loop.schedule import rate_share
from tasks.training.runtime import collectives as processes
from tasks.training.runtime.device import repeatable
from tasks.training.runtime.precision import choose_precision, computing_in

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.objectives.objective import Objective
    from tasks.training.settings import TrainingSettings


@dataclass(frozen=True)
class Trained:
    """The weights of the kept epoch, on the CPU, and one row of history an epoch (see schema.py)."""

    weights: dict[str, Tensor]
    history: list[dict[str, Any]]
    kept_epoch: int


def train(
    settings: TrainingSettings,
    objective: Objective,
    training: TokenizedDocuments,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    listener: Listener = SILENT,
) -> Trained:
    """Trains to the last epoch, or until `patience` epochs brought nothing; goes on from a checkpoint if there is one.

    Raises TrainingError as soon as a loss or a gradient is not finite, and where a checkpoint is of another training.
    """
    with repeatable(device, settings.deterministic):
        run = _Run(settings, objective, training, device)
        snapshot = checkpoints.load() if checkpoints else None
        if snapshot:
            run.restore(snapshot)
        while not run.finished:
            try:
                run.epoch(listener)
            except NotFiniteError as found:
                raise TrainingError(_not_finite(found, checkpoints)) from None
            if checkpoints and processes.rank() == 0:
                checkpoints.save(len(run.history), run.snapshot())
    history = [{**row, "kept": row["epoch"] == run.kept_epoch} for row in run.history]
    return Trained(run.kept, history, run.kept_epoch)


def _not_finite(found: NotFiniteError, checkpoints: Checkpoints | None) -> str:
    kept = checkpoints.newest() if checkpoints else None
    return (
        f"epoch {found.epoch}, batch {found.batch}: the {found.what} is not finite; lower training.learning_rate or "
        f"training.max_grad_norm (last finite checkpoint: {kept or 'none'})"
    )


class _Run:
    """What changes while training goes on."""

    def __init__(
        self,
        settings: TrainingSettings,
        objective: Objective,
        training: TokenizedDocuments,
        device: torch.device,
    ) -> None:
        self.settings, self.objective, self.training, self.device = settings, objective, training, device
        self.model = objective.model
        self.loss = processes.synchronized(objective.model, objective.loss)
        self.precision = choose_precision(settings.precision, settings.cell, device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=device.type != "mps",
        )
        self.history: list[dict[str, Any]] = []
        self.kept: dict[str, Tensor] = {}
        self.kept_epoch = 0

    @property
    def finished(self) -> bool:
        done = len(self.history)
        return done >= self.settings.epochs or (done > 0 and done - self.kept_epoch >= self.settings.patience)

    def epoch(self, listener: Listener) -> None:
        """Trains on every window of a fresh cut once, validates, and adds a row to the history."""
        number, started = len(self.history) + 1, time.monotonic()
        rng = np.random.default_rng((self.settings.seed, number))
        torch.manual_seed(int(rng.integers(2**63)) + processes.rank())  # processes drop out each on its own
        settings = self.settings
        epoch = Epoch(self.training, settings.window, settings.batch_size, settings.shuffle_tokens, rng)
        steps = Steps(number, settings.epochs, epoch, listener)
        for step, batch in enumerate(epoch):
            self._set_rate((number - 1 + step / epoch.steps) / settings.epochs)
            steps.add(batch, self._step(batch))
        trained = steps.summary(settings.max_grad_norm)
        validation = processes.from_first(self.objective.validate)
        if not math.isfinite(validation.loss):
            raise NotFiniteError(number, epoch.steps, "validation loss")
        if not self.history or validation.loss < min(row["validation_loss"] for row in self.history):
            self.kept_epoch = number
            self.kept = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        self.history.append(
            {
                "epoch": number,
                **trained,
                "validation_loss": validation.loss,
                "validation_window_accuracy": validation.window_accuracy,
                "validation_accuracy": validation.accuracy,
                "validation_macro_f1": validation.macro_f1,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "seconds": time.monotonic() - started,
                "precision": self.precision,
            }
        )
        listener.learned(self.history[-1])

    def _set_rate(self, done: float) -> None:
        share = rate_share(self.settings.schedule, done, self.settings.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * share

    def _step(self, batch: Batch) -> Tensor:
        """One step; its loss, windows right and gradient norm, left on the device so that nothing waits for them."""
        mine = processes.share(batch.chosen)
        ids, lengths = gather(batch.ids, batch.windows, mine, self.device)
        self.model.train()
        with computing_in(self.precision, self.device):
            loss, right = self.loss(ids, lengths, batch.windows.documents[mine])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        figures = processes.summed(torch.stack([loss.detach(), right.to(loss) / processes.takers(batch.chosen)]))
        return torch.cat([figures, norm.detach().reshape(1)])

    def snapshot(self) -> Snapshot:
        tensors = {
            f"model.{name}": value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()
        }
        tensors |= {f"kept.{name}": value for name, value in self.kept.items()}
        for position, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{position}.{key}": value.cpu().contiguous() for key, value in state.items()}
        return Snapshot(tensors, {"history": self.history, "kept_epoch": self.kept_epoch})

    def restore(self, snapshot: Snapshot) -> None:
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "kept": {}, "optimizer": {}}
        for name, value in snapshot.tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            position, _, key = name.partition(".")
            state.setdefault(int(position), {})[key] = value
        self.model.load_state_dict(parts["model"])
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.kept, self.kept_epoch = parts["kept"], snapshot.facts["kept_epoch"]
        self.history = list(snapshot.facts["history"])
