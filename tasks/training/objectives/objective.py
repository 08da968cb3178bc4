"""The training objective's interface: the loop knows windows, steps and epochs, but no labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

from tasks.training.data.windows import Indices
from tasks.training.models.validation import Validation

if TYPE_CHECKING:
    import torch

    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.head.document_classifier import DocumentClassifier
    from tasks.training.models.window_classifier import WindowClassifier
    from tasks.training.settings import TrainingSettings


class Objective(Protocol):
    """A model, its loss on a batch of windows, and its validation after an epoch."""

    @property
    def model(self) -> nn.Module:
        """All that is trained; checkpoints hold its state."""

    def loss(self, ids: Tensor, lengths: Tensor | None, documents: Indices) -> tuple[Tensor, Tensor]:
        """The loss of a batch to minimize, and its number of correct windows; both scalars on the device.

        `ids` [time, batch] on the device, `lengths` [batch] on the CPU (None: no padding), `documents` [batch] the
        position of each window's document in the training split. An objective with several predictions per window
        counts the share of correct ones. A mean over the batch is `collectives.batch_mean`, so that several
        processes can share the batch.
        """

    def validate(self) -> Validation:
        """Metrics of the present model on the validation split; training keeps the epoch with the lowest loss."""

    def finalize(self, folder: Path) -> tuple[WindowClassifier | DocumentClassifier, Validation | None]:
        """The classifier, from the present weights of the model, and its validation metrics if they have changed.

        Temporary files go to `folder`.
        """


def objective_of(
    settings: TrainingSettings,
    training: TokenizedDocuments,
    validation: TokenizedDocuments,
    device: torch.device,
) -> Objective:
    """The objective that the settings name, with a model whose initial weights come from the seed."""
    from tasks.training.objectives.labels import LabelObjective
    from tasks.training.objectives.language import LanguageObjective

    if settings.objective == "language":
        return LanguageObjective(settings, training, validation, device)
    return LabelObjective(settings, training, validation, device)
