"""Trains the epochs: in the stage's own process, or in each rank of a distributed training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tasks.training.loop import loop
from tasks.training.loop.gradient_record import GradientRecord
from tasks.training.objectives.objective import Objective, objective_of
from tasks.training.runtime import collectives
from tasks.training.schema import GRADIENTS

if TYPE_CHECKING:
    import torch

    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.loop.checkpoint import Checkpoints
    from tasks.training.loop.epoch_metrics import Callback
    from tasks.training.settings import TrainingSettings


def train_model(
    settings: TrainingSettings,
    training: TokenizedDocuments,
    validation: TokenizedDocuments,
    device: torch.device,
    checkpoints: Checkpoints,
    callback: Callback,
) -> tuple[Objective, loop.Trained, GradientRecord]:
    """Trains, or resumes from the newest checkpoint; the gradients' record lies next to the checkpoints.

    The objective's model has the weights of the last epoch trained here. Raises TrainingError, see loop.py.
    """
    objective = objective_of(settings, training, validation, device)
    gradients = GradientRecord(objective.model, training, settings.window, device, checkpoints.folder, GRADIENTS)

    def on_epoch_end(row: Mapping[str, Any]) -> None:
        callback.on_epoch_end(row)
        if settings.gradient_flow and collectives.rank() == 0:
            gradients.add(row["epoch"])

    recording = replace(callback, on_epoch_end=on_epoch_end)
    return objective, loop.train(settings, objective, training, device, checkpoints, recording), gradients
