"""Gradients that explode on purpose: what clipping achieves, and when it no longer helps.

A plain RNN whose recurrent weights are scaled up multiplies a gradient by more than one at nearly every step back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from training_texts import LABELS, part_of, small, text

from tasks.shared.errors import TrainingError
from tasks.tokenization.store import TokenizedDocuments
from tasks.training.loop.checkpoint import Checkpoints
from tasks.training.loop.epoch_metrics import Callback
from tasks.training.loop.loop import Trained, train
from tasks.training.objectives.objective import Objective, objective_of
from tasks.training.settings import TrainingSettings

STEPS = 150


def long_texts(seed: int, per_label: int = 10) -> TokenizedDocuments:
    """Texts of one long window each."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(len(LABELS)), per_label)
    return part_of([text(label, STEPS, rng) for label in labels], labels, seed)


def explosive(**changes: Any) -> TrainingSettings:
    """A unidirectional RNN without noise; the decay shrinks its weights to a normal size within some epochs."""
    quiet = dict.fromkeys(("dropout", "embedding_dropout", "token_dropout", "label_smoothing"), 0)
    shape = {
        "cell": "rnn",
        "hidden_size": 16,
        "bidirectional": False,
        "skip": False,
        "window": STEPS,
        "batch_size": 5,
    }
    rate = {"learning_rate": 0.02, "weight_decay": 1, "schedule": "constant"}
    return small(**quiet | shape | rate | changes)


def scale(objective: Objective, factor: float) -> None:
    with torch.no_grad():
        objective.model.get_parameter("cells.0.layer.weight_hh_l0").mul_(factor)


def trained(settings: TrainingSettings, factor: float) -> Trained:
    training = long_texts(0)
    objective = objective_of(settings, training, long_texts(1), torch.device("cpu"))
    scale(objective, factor)
    return train(settings, objective, training, torch.device("cpu"))


def test_clipping_contains_an_explosion_that_otherwise_stalls_the_training() -> None:
    """AdamW bounds each step, but one huge gradient dominates its second moments for a thousand steps."""
    clipped, unclipped = (trained(explosive(epochs=14, max_grad_norm=norm), factor=4) for norm in (1, 1e30))
    for run in (clipped, unclipped):
        assert max(row["gradient_norm_max"] for row in run.history) > 1e6
        assert all(bool(weight.isfinite().all()) for weight in run.weights.values())
    assert max(row["clipped_share"] for row in clipped.history) > 0.5
    assert clipped.history[-1]["train_loss"] < 0.5
    assert unclipped.history[-1]["train_loss"] > 1.05, "stays at the loss of a random guess, ln 3"


def test_a_gradient_that_is_not_finite_stops_training_and_names_the_last_finite_checkpoint(tmp_path: Path) -> None:
    settings, training = explosive(epochs=5, learning_rate=1e-6), long_texts(0)
    objective = objective_of(settings, training, long_texts(1), torch.device("cpu"))
    callback = Callback(on_epoch_end=lambda row: scale(objective, 12 if row["epoch"] == 2 else 1))
    checkpoints = Checkpoints(tmp_path, {"made": "on purpose"})
    with pytest.raises(TrainingError, match=r"^epoch \d, batch \d: the gradient is not finite; lower ") as caught:
        train(settings, objective, training, torch.device("cpu"), checkpoints, callback)
    epoch, newest = int(str(caught.value)[len("epoch ")]), checkpoints.newest()
    assert newest is not None
    assert epoch > 2
    assert newest.name.startswith(f"epoch-{epoch - 1:05d}-")
    assert f"last finite checkpoint: {newest}" in str(caught.value)
    with safe_open(newest, framework="pt") as file:
        assert all(bool(file.get_tensor(name).isfinite().all()) for name in file.keys())  # noqa: SIM118
