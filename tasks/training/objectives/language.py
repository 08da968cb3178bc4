"""The language objective: predicts tokens from their surroundings; then fits a document classifier on the states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tasks.training.data.windows import Indices, batches, collate, tiles
from tasks.training.head.document_classifier import DocumentClassifier
from tasks.training.head.fit import fit_document_classifier
from tasks.training.head.progress import HeadProgress
from tasks.training.models.language_model import LanguageModel, LanguageModelArchitecture
from tasks.training.models.recurrent import build_seeded
from tasks.training.models.validation import Validation
from tasks.training.runtime.collectives import batch_mean

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.settings import TrainingSettings

TOKENS_AT_ONCE = 8_192
"""Tokens predicted at once in validation: bounds the memory of their logits."""


class LanguageObjective:
    """Cross-entropy of the tokens at random positions, a fraction of each window (see objective.py)."""

    def __init__(
        self,
        settings: TrainingSettings,
        training: TokenizedDocuments,
        validation: TokenizedDocuments,
        device: torch.device,
    ) -> None:
        self.settings, self.training, self.validation, self.device = settings, training, validation, device
        architecture = LanguageModelArchitecture.of(settings, training.vocabulary_size)
        self.model = build_seeded(LanguageModel, architecture, settings, device)

    def loss(self, ids: Tensor, lengths: Tensor | None, documents: Indices) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy over the sampled positions; a window's accuracy is its share of correct predictions."""
        sampled = max(1, round(len(ids) * self.settings.prediction_ratio))
        positions = torch.randperm(len(ids), device=ids.device)[:sampled].sort().values
        losses, right, count = self.model.loss(ids, lengths, positions)
        share = right / count.clamp(min=1) * ids.shape[1]
        return batch_mean(losses, count), share

    def validate(self) -> Validation:
        """Mean loss in nats and accuracy over all tokens of the validation split."""
        at_once = max(1, TOKENS_AT_ONCE // self.settings.window)
        total = torch.zeros(3, dtype=torch.float64)
        self.model.eval()
        with torch.inference_mode():
            for chunk in self.validation.chunks():
                windows = tiles(chunk.offsets, self.settings.window)
                for batch in batches(windows, at_once):
                    tokens, lengths = collate(chunk.ids, windows, batch, self.device)
                    for positions in torch.split(torch.arange(len(tokens), device=self.device), TOKENS_AT_ONCE):
                        sums = self.model.loss(tokens, lengths, positions)
                        total += torch.stack([value.float() for value in sums]).cpu()  # MPS has no float64
        loss, right, count = total.tolist()
        return Validation(loss=loss / count, window_accuracy=right / count)

    def finalize(self, folder: Path) -> tuple[DocumentClassifier, Validation]:
        """A document classifier on the language model's states, and its validation metrics."""
        progress = HeadProgress(2 * self.training.tokens + self.validation.tokens)  # codebook and counts; counts
        return fit_document_classifier(
            self.model, self.settings, self.training, self.validation, self.device, progress, folder
        )
