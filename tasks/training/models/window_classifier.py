"""The window classifier: embeddings, a recurrent stack, pooling over the window, a linear layer.

Past the stack, the mean of the embeddings also reaches the classifier: a bag of words beside the RNN. It knows
windows only; how texts become windows, and windows' answers a text's, is in windows.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.cells.cells import CELLS, inside_mask
from tasks.training.runtime.device import repeatable
from tasks.vocabulary.tokenizer_file import PAD

if TYPE_CHECKING:
    from tasks.training.settings import TrainingSettings

DescribedT = TypeVar("DescribedT")
ModelT = TypeVar("ModelT", bound=nn.Module)
"""Token id that means "nothing here": its embedding is zero and is never learned."""


@dataclass(frozen=True)
class Architecture:
    """What it takes to build the model again; sizes as in the settings."""

    vocabulary_size: int
    labels: int
    cell: str
    embedding_size: int
    hidden_size: int
    layers: int
    bidirectional: bool
    pooling: str
    skip: bool

    @classmethod
    def of(cls, settings: TrainingSettings, vocabulary_size: int, labels: int) -> Self:
        """The architecture that the settings describe."""
        return cls(
            vocabulary_size,
            labels,
            settings.cell,
            settings.embedding_size,
            settings.hidden_size,
            settings.num_layers,
            settings.bidirectional,
            settings.pooling,
            settings.skip,
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values; `Architecture(**values)` builds it again."""
        return asdict(self)

    @property
    def state_size(self) -> int:
        """Features that a recurrent layer puts out."""
        return 0 if self.cell == "none" else self.hidden_size * (2 if self.bidirectional else 1)

    @property
    def pooled_size(self) -> int:
        """Features that the classifier sees."""
        pools = 2 if self.pooling == "mean_max" else 1
        return self.state_size * pools + (self.embedding_size if self.skip else 0)


@dataclass(frozen=True)
class Noise:
    """Probabilities of what is left out in training; see the settings of the same names."""

    embedding_dropout: float = 0.0
    token_dropout: float = 0.0
    dropout: float = 0.0


def from_seed(
    kind: Callable[[DescribedT, Noise], ModelT],
    architecture: DescribedT,
    settings: TrainingSettings,
    device: torch.device,
) -> ModelT:
    """A model to be trained, on the device; its first weights come from the seed, whatever was drawn before."""
    noise = Noise(settings.embedding_dropout, settings.token_dropout, settings.dropout)
    with repeatable(device, settings.deterministic):
        torch.manual_seed(settings.seed)
        return kind(architecture, noise).to(device)


class WindowClassifier(nn.Module):
    """Logits of the labels for a batch of windows."""

    def __init__(self, architecture: Architecture, noise: Noise | None = None) -> None:
        super().__init__()
        self.architecture, self.noise = architecture, noise or Noise()
        self.embedding = nn.Embedding(architecture.vocabulary_size, architecture.embedding_size, padding_idx=PAD)
        self.cells = nn.ModuleList()
        features = architecture.embedding_size
        if architecture.cell != "none":
            for _ in range(architecture.layers):
                self.cells.append(
                    CELLS[architecture.cell](features, architecture.hidden_size, architecture.bidirectional)
                )
                features = architecture.state_size
        self.classifier = nn.Linear(architecture.pooled_size, architecture.labels)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits [batch, labels] of windows `ids` [time, batch]; `lengths` [batch] on the CPU, None: no padding."""
        inside = None if lengths is None else inside_mask(len(ids), lengths, ids.device)
        present = inside
        if self.training and self.noise.token_dropout > 0:
            keep = torch.rand(ids.shape, device=ids.device) >= self.noise.token_dropout
            present = keep if inside is None else keep & inside
            ids = ids.masked_fill(~keep, PAD)
        embedded = self._drop_dimensions(self.embedding(ids))
        pooled = []
        if len(self.cells) > 0:
            states = embedded
            for depth, cell in enumerate(self.cells):
                if depth > 0:
                    states = functional.dropout(states, self.noise.dropout, self.training)
                states = cell(states, lengths)
            pooled.append(_mean(states, inside))
            if self.architecture.pooling == "mean_max":
                pooled.append(_maximum(states, inside))
        if self.architecture.skip:
            pooled.append(_mean(embedded, present))
        window = functional.dropout(torch.cat(pooled, dim=-1), self.noise.dropout, self.training)
        logits: Tensor = self.classifier(window)
        return logits

    def _drop_dimensions(self, embedded: Tensor) -> Tensor:
        """The same dimensions off at all steps of a window (Gal & Ghahramani 2016), the others scaled up."""
        if not self.training or self.noise.embedding_dropout == 0:
            return embedded
        ones = torch.ones_like(embedded[0])
        return embedded * functional.dropout(ones, self.noise.embedding_dropout)


def _mean(values: Tensor, present: Tensor | None) -> Tensor:
    """Mean over time of [time, batch, features], where present."""
    if present is None:
        return values.mean(0)
    count = present.sum(0).clamp(min=1).unsqueeze(-1)
    return (values * present.unsqueeze(-1)).sum(0) / count


def _maximum(values: Tensor, inside: Tensor | None) -> Tensor:
    if inside is None:
        return values.amax(0)
    return values.masked_fill(~inside.unsqueeze(-1), float("-inf")).amax(0)
