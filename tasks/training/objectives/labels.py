"""The label objective: classifies each window by its document's label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tasks.training.data.windows import Indices, sliding_windows
from tasks.training.models.inference import pool_documents, window_log_probabilities
from tasks.training.models.recurrent import build_seeded
from tasks.training.models.validation import Validation, validation_metrics
from tasks.training.models.window_classifier import WindowArchitecture, WindowClassifier
from tasks.training.runtime.collectives import batch_mean
from tasks.training.runtime.device import to_device

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.settings import TrainingSettings


class LabelObjective:
    """Weighted cross-entropy of the windows' labels; validation on whole documents (see objective.py).

    The validation loss is the log-loss over documents, not the accuracy: with some fifty validation documents, one
    document is two points of accuracy, and many epochs tie.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        training: TokenizedDocuments,
        validation: TokenizedDocuments,
        device: torch.device,
    ) -> None:
        self.labels, self.validation, self.device = training.labels, validation, device
        self.window, self.stride = settings.window, settings.stride
        architecture = WindowArchitecture.of(settings, training.vocabulary_size, len(training.label_names))
        self.model = build_seeded(WindowClassifier, architecture, settings, device)
        self.label_weights = _label_weights(training, settings.class_weight_power).to(device)
        self.label_smoothing = settings.label_smoothing

    def loss(self, ids: Tensor, lengths: Tensor | None, documents: Indices) -> tuple[Tensor, Tensor]:
        """Mean loss of the windows, weighted by label, and the number of correct windows."""
        labels = to_device(torch.from_numpy(self.labels[documents]), self.device)
        logits = self.model(ids, lengths)
        weights = self.label_weights[labels]
        # PyTorch's `weight` would also weight the smoothing, and pull every window towards the rare labels.
        losses = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing, reduction="none")
        loss = batch_mean((weights * losses).sum(), weights.sum())
        return loss, (logits.detach().argmax(-1) == labels).sum()

    def validate(self) -> Validation:
        """Pools the windows' answers by document, chunk after chunk."""
        labels, pooled, right = self.validation.labels, [], []
        for chunk in self.validation.chunks():
            windows = sliding_windows(chunk.offsets, self.window, self.stride)
            answers = window_log_probabilities(self.model, chunk.ids, windows, self.device)
            right.append(answers.argmax(axis=1) == labels[chunk.first + windows.documents])
            pooled.append(pool_documents(answers, windows.documents, len(chunk.offsets) - 1))
        return validation_metrics(np.concatenate(pooled), labels, float(np.concatenate(right).mean()))

    def finalize(self, folder: Path) -> tuple[WindowClassifier, None]:
        """The model is the classifier; its metrics are those of `validate`."""
        return self.model, None


def _label_weights(training: TokenizedDocuments, power: float) -> Tensor:
    """count^-power of each label, scaled to a mean weight of 1 per training document."""
    counts = np.bincount(training.labels, minlength=len(training.label_names))
    weights = counts.astype(np.float64) ** -power
    return torch.from_numpy(weights * counts.sum() / (weights * counts).sum()).float()
