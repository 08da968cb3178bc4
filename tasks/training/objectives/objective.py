"""What a training learns, as the loop sees it; the loop knows windows, steps and epochs, and nothing of labels."""

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
    from tasks.training.head.progress import Watch
    from tasks.training.models.window_classifier import WindowClassifier
    from tasks.training.settings import TrainingSettings


class Objective(Protocol):
    """A model, its loss on a batch of windows, and how it is judged after an epoch."""

    @property
    def model(self) -> nn.Module:
        """All that is learned; its state is what checkpoints and the trained weights hold."""

    def loss(self, ids: Tensor, lengths: Tensor | None, documents: Indices) -> tuple[Tensor, Tensor]:
        """The loss of a batch, to be made smaller, and how many windows are right; both scalars on the device.

        `ids` [time, batch] on the device, `lengths` [batch] on the CPU (None: no padding), `documents` [batch] the
        position in the training part of the text that each window is from. What gives several answers to a window
        counts it as the share of them that are right. A mean over the batch is `processes.batch_mean`, so that several
        processes can share the batch.
        """

    def validate(self) -> Validation:
        """Judges the model as it is; the epoch with the lowest validation loss is the one that is kept."""

    @property
    def reads(self) -> int:
        """Tokens that `complete` goes through, counted each time that it does."""

    def complete(self, watch: Watch, folder: Path) -> tuple[WindowClassifier | DocumentClassifier, Validation | None]:
        """The classifier, once the model's weights are the kept ones, and how it is judged if that is news.

        `watch` is told how far it is; `folder` is there for temporary files.
        """


def objective_of(
    settings: TrainingSettings,
    training: TokenizedDocuments,
    validation: TokenizedDocuments,
    device: torch.device,
) -> Objective:
    """The objective that the settings ask for, with a model whose first weights come from the seed."""
    from tasks.training.objectives.labels import LabelObjective
    from tasks.training.objectives.language import LanguageObjective

    if settings.objective == "language":
        return LanguageObjective(settings, training, validation, device)
    return LabelObjective(settings, training, validation, device)
