"""The window classifier: embeddings, recurrent layers, pooling over the window, a linear layer.

With `skip` the mean of the embeddings also reaches the classifier: a bag of words next to the RNN. The model knows only
windows: windows.py cuts documents into them, and inference.py pools their answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.cells.cells import token_mask
from tasks.training.models.recurrent import (
    Noise,
    RecurrentArchitecture,
    RecurrentStack,
    drop_dimensions,
    recurrent_fields,
)
from tasks.vocabulary.tokenizer_file import PAD

if TYPE_CHECKING:
    from tasks.training.settings import TrainingSettings


@dataclass(frozen=True)
class WindowArchitecture(RecurrentArchitecture):
    """All that is needed to build the model again."""

    labels: int
    pooling: str
    skip: bool

    @classmethod
    def of(cls, settings: TrainingSettings, vocabulary_size: int, labels: int) -> Self:
        """The architecture that the settings describe."""
        return cls(
            **recurrent_fields(settings, vocabulary_size), labels=labels, pooling=settings.pooling, skip=settings.skip
        )

    @property
    def pooled_size(self) -> int:
        """Input features of the classifier."""
        pools = 2 if self.pooling == "mean_max" else 1
        return self.state_size * pools + (self.embedding_size if self.skip else 0)


class WindowClassifier(nn.Module):
    """Logits of the labels for a batch of windows."""

    def __init__(self, architecture: WindowArchitecture, noise: Noise | None = None) -> None:
        super().__init__()
        self.architecture, self.noise = architecture, noise or Noise()
        self.embedding = nn.Embedding(architecture.vocabulary_size, architecture.embedding_size, padding_idx=PAD)
        self.cells = RecurrentStack(architecture, self.noise.dropout)
        self.classifier = nn.Linear(architecture.pooled_size, architecture.labels)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits [batch, labels] of windows `ids` [time, batch]; `lengths` [batch] on the CPU, None: no padding."""
        mask = None if lengths is None else token_mask(len(ids), lengths, ids.device)
        kept = mask
        if self.training and self.noise.token_dropout > 0:
            keep = torch.rand(ids.shape, device=ids.device) >= self.noise.token_dropout
            kept = keep if mask is None else keep & mask
            ids = ids.masked_fill(~keep, PAD)
        embedded = drop_dimensions(self.embedding(ids), self.noise.embedding_dropout, self.training)
        pooled = []
        if len(self.cells) > 0:
            states = self.cells(embedded, lengths)
            pooled.append(_mean(states, mask))
            if self.architecture.pooling == "mean_max":
                pooled.append(_maximum(states, mask))
        if self.architecture.skip:
            pooled.append(_mean(embedded, kept))
        window = functional.dropout(torch.cat(pooled, dim=-1), self.noise.dropout, self.training)
        logits: Tensor = self.classifier(window)
        return logits


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the time of [time, batch, features], only of the values in the mask."""
    if mask is None:
        return values.mean(0)
    count = mask.sum(0).clamp(min=1).unsqueeze(-1)
    return (values * mask.unsqueeze(-1)).sum(0) / count


def _maximum(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.amax(0)
    return values.masked_fill(~mask.unsqueeze(-1), float("-inf")).amax(0)
