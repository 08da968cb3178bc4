"""The label objective: the weights of windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_texts import LABELS, part_of, small, text

from tasks.training.objectives.labels import LabelObjective


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_weight_of_a_label_applies_to_its_own_windows_only(smoothing: float) -> None:
    """Weights are relative, so that they cancel if all windows have the same label."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(LABELS)), (40, 40, 1))
    training = part_of([text(label, 12, rng) for label in labels], labels, "train")
    ids = torch.from_numpy(np.stack([text(0, 12, rng) for _ in range(8)], axis=1).astype(np.int64))
    losses = []
    for power in (0.0, 1.0):
        settings = small(class_weight_power=power, label_smoothing=smoothing)
        objective = LabelObjective(settings, training, training, torch.device("cpu"))
        objective.model.eval()
        losses.append(objective.loss(ids, None, np.zeros(8, dtype=np.int64))[0].item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
