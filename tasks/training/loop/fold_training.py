"""Trains the network of one fold: on the windows of the other folds, with AdamW and checkpoints.

All randomness of an epoch (batches and dropout) follows from the seed, the fold and the epoch's number, and the
learning rate from the fraction of the steps done. So a checkpoint needs neither generator nor scheduler state, and a
resumed training repeats an uninterrupted one exactly.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tasks.shared.errors import TrainingError
from tasks.shared.statistics.log_probabilities import Scores, log_loss
from tasks.shared.statistics.metrics import Ints, accuracy, confusion_matrix, macro_f1
from tasks.training.input.evidence import Tables
from tasks.training.input.windows import collate, shuffled_batches
from tasks.training.loop.checkpoint import Checkpoints, Snapshot
from tasks.training.loop.epoch_metrics import NO_CALLBACK, Callback, EpochMetrics, NotFiniteError
from tasks.training.loop.gradient_flow import profile_network
from tasks.training.loop.optimizer import make_optimizer, optimizer_tensors, rate_factor, restore_optimizer
from tasks.training.loop.recipe import Recipe, TrainingTexts
from tasks.training.models.member import score
from tasks.training.models.network import Architecture, Network
from tasks.training.runtime.device import deterministic_rng
from tasks.training.runtime.precision import autocast, choose_precision


@dataclass(frozen=True)
class TrainedFold:
    """A network after its last epoch, its predictions for the texts it has not seen, and how it was trained."""

    network: Network
    positions: Ints
    """The texts of the fold."""
    scores: Scores
    """Their log-probabilities, [positions, labels]."""
    history: list[dict[str, Any]]
    """Rows of schema.HISTORY."""
    gradients: list[dict[str, Any]]
    """Rows of schema.GRADIENTS; of the first fold only."""


def train_fold(
    recipe: Recipe,
    texts: TrainingTexts,
    tables: Tables,
    fold: int,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    callback: Callback = NO_CALLBACK,
) -> TrainedFold:
    """Trains to the last epoch; resumes from a checkpoint if there is one.

    Raises TrainingError as soon as a loss or a gradient is not finite, and for a checkpoint of another training.
    """
    with deterministic_rng(device, recipe.deterministic):
        trainer = _Trainer(recipe, texts, tables, fold, device)
        snapshot = checkpoints.load() if checkpoints else None
        if snapshot:
            trainer.restore(snapshot)
        while len(trainer.history) < recipe.epochs:
            try:
                trainer.run_epoch(callback)
            except NotFiniteError as error:
                raise TrainingError(_explain(fold, error, checkpoints)) from None
            if checkpoints:
                checkpoints.save(len(trainer.history), trainer.snapshot())
        scores = trainer.scores()
    return TrainedFold(trainer.network.eval(), trainer.held_out, scores, trainer.history, trainer.gradients)


def _explain(fold: int, error: NotFiniteError, checkpoints: Checkpoints | None) -> str:
    newest = checkpoints.newest() if checkpoints else None
    return (
        f"fold {fold}, epoch {error.epoch}, batch {error.batch}: the {error.what} is not finite; lower "
        f"training.learning_rate or training.max_grad_norm (last finite checkpoint: {newest or 'none'})"
    )


class _Trainer:
    """The state of a training, and its steps."""

    def __init__(self, recipe: Recipe, texts: TrainingTexts, tables: Tables, fold: int, device: torch.device) -> None:
        self.recipe, self.texts, self.tables, self.fold, self.device = recipe, texts, tables, fold, device
        self.precision = choose_precision(recipe.precision, recipe.cell, device)
        of_windows = texts.folds[texts.windows.text]
        self.learned = np.flatnonzero(of_windows != fold)
        self.held_out = np.flatnonzero(texts.folds == fold)
        self.lengths = texts.windows.lengths[self.learned]
        counts = np.bincount(texts.labels, minlength=texts.label_count).clip(1).astype(np.float64)
        weights = (counts**-recipe.class_weight_power)[texts.labels]
        self.weights = torch.from_numpy(weights / weights.mean()).float().to(device)
        self.labels = torch.from_numpy(texts.labels).to(device)
        torch.manual_seed(int(np.random.default_rng((recipe.seed, fold)).integers(2**31)))
        axes = None if tables.axes is None else torch.from_numpy(tables.axes)
        self.network = Network(_architecture(recipe, texts, tables), recipe.dropout, axes).to(device)
        self.optimizer = make_optimizer(self.network, recipe.learning_rate, recipe.weight_decay)
        self.history: list[dict[str, Any]] = []
        self.gradients: list[dict[str, Any]] = []

    def run_epoch(self, callback: Callback) -> None:
        """Trains once on every window, predicts the fold, and adds a row to the history."""
        epoch, started, recipe = len(self.history) + 1, time.monotonic(), self.recipe
        rng = np.random.default_rng((recipe.seed, self.fold, epoch))
        torch.manual_seed(int(rng.integers(2**63)))
        metrics = EpochMetrics(self.fold, epoch, recipe.epochs, len(self.learned), callback)
        steps = -(-len(self.learned) // recipe.batch_size)
        self.network.train()
        for step, batch in enumerate(shuffled_batches(self.lengths, recipe.batch_size, rng)):
            factor = rate_factor((epoch - 1 + step / steps) / recipe.epochs, recipe.warmup_fraction)
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.learning_rate * factor
            metrics.add(len(batch), int(self.lengths[batch].sum()), self._step(self.learned[batch]))
        row: dict[str, Any] = {
            "fold": self.fold,
            "epoch": epoch,
            **metrics.summary(recipe.max_grad_norm),
            **self._validation(),
        }
        if not math.isfinite(row["validation_loss"]):
            raise NotFiniteError(epoch, steps, "validation loss")
        row |= {"learning_rate": self.optimizer.param_groups[0]["lr"], "precision": self.precision}
        self.history.append(row | {"seconds": time.monotonic() - started})
        if self.fold == 0 and (recipe.gradient_flow or epoch == recipe.epochs):
            profile = profile_network(self.network, self.texts.windows, self.learned, self.tables, self._table)
            self.gradients += [{"epoch": epoch, **values} for values in profile]
        callback.on_epoch_end(self.history[-1])

    def scores(self) -> Scores:
        """Log-probabilities of the texts of the fold, [texts, labels]."""
        windows = self.texts.windows
        mine = np.flatnonzero(self.texts.folds[windows.text] == self.fold)
        chosen = windows.select(mine, np.searchsorted(self.held_out, windows.text[mine]))
        return score([self.network], chosen, self.tables, self._table(self.held_out), self.device)

    def _validation(self) -> dict[str, float]:
        scores, labels = self.scores(), self.texts.labels[self.held_out]
        confusion = confusion_matrix(labels, scores.argmax(axis=1), self.texts.label_count)
        return {
            "validation_loss": log_loss(scores, labels),
            "validation_accuracy": float(accuracy(confusion)),
            "validation_macro_f1": float(macro_f1(confusion)),
        }

    def _table(self, texts: Ints) -> Ints:
        """The evidence table of each of these texts."""
        return self.texts.folds[texts] if self.tables.dimensions else np.zeros(len(texts), np.int64)

    def _step(self, positions: Ints) -> Tensor:
        """One step; its loss, correct windows and gradient norm [3], on the device so that nothing waits for them."""
        texts = self.texts.windows.text[positions]
        batch = collate(self.texts.windows, positions, self.tables, self._table(texts)).to(self.device)
        labels, weights = self.labels[texts], self.weights[texts]
        with autocast(self.precision, self.device):
            logits = self.network(batch)
        each = functional.cross_entropy(
            logits.float(), labels, label_smoothing=self.recipe.label_smoothing, reduction="none"
        )
        loss = (each * weights).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.max_grad_norm)
        self.optimizer.step()
        correct = (logits.detach().argmax(1) == labels).sum()
        return torch.stack([loss.detach(), correct.to(loss), norm.detach()])

    def snapshot(self) -> Snapshot:
        tensors = {f"model.{name}": value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
        return Snapshot(tensors, {"history": self.history, "gradients": self.gradients})

    def restore(self, snapshot: Snapshot) -> None:
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
        for name, value in snapshot.tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value
        self.network.load_state_dict(groups["model"])
        restore_optimizer(self.optimizer, groups["optimizer"])
        self.history, self.gradients = list(snapshot.state["history"]), list(snapshot.state["gradients"])


def _architecture(recipe: Recipe, texts: TrainingTexts, tables: Tables) -> Architecture:
    return Architecture(
        texts.label_count,
        texts.tokens,
        tables.dimensions,
        recipe.embedding_size,
        recipe.hidden_size,
        recipe.layers,
        recipe.bidirectional,
        recipe.cell,
    )
