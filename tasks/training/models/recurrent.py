"""What both models share: a stack of recurrent layers, its architecture, and its dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.cells.cells import CELLS
from tasks.training.runtime.device import deterministic_rng

if TYPE_CHECKING:
    from tasks.training.settings import TrainingSettings

ArchitectureT = TypeVar("ArchitectureT")
ModelT = TypeVar("ModelT", bound=nn.Module)


@dataclass(frozen=True)
class RecurrentArchitecture:
    """Sizes of embedding and recurrent layers, as in the settings."""

    vocabulary_size: int
    cell: str
    embedding_size: int
    hidden_size: int
    layers: int
    bidirectional: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values, keyword arguments of the class."""
        return asdict(self)

    @property
    def state_size(self) -> int:
        """Output features of a recurrent layer."""
        return 0 if self.cell == "none" else self.hidden_size * (2 if self.bidirectional else 1)


def recurrent_fields(settings: TrainingSettings, vocabulary_size: int) -> dict[str, Any]:
    """The fields of a RecurrentArchitecture that the settings describe."""
    return {
        "vocabulary_size": vocabulary_size,
        "cell": settings.cell,
        "embedding_size": settings.embedding_size,
        "hidden_size": settings.hidden_size,
        "layers": settings.num_layers,
        "bidirectional": settings.bidirectional,
    }


@dataclass(frozen=True)
class Noise:
    """Dropout probabilities in training; see the settings of the same names."""

    embedding_dropout: float = 0.0
    token_dropout: float = 0.0
    dropout: float = 0.0


class RecurrentStack(nn.ModuleList):
    """Recurrent layers, each on the one below, with dropout between them; empty for cell none."""

    def __init__(self, architecture: RecurrentArchitecture, dropout: float) -> None:
        super().__init__()
        self.dropout, features = dropout, architecture.embedding_size
        for _ in range(architecture.layers if architecture.cell != "none" else 0):
            self.append(CELLS[architecture.cell](features, architecture.hidden_size, architecture.bidirectional))
            features = architecture.state_size

    def forward(self, states: Tensor, lengths: Tensor | None) -> Tensor:
        """States of the last layer [time, batch, state_size]; input and lengths as in cells.py."""
        for depth, cell in enumerate(self):
            if depth > 0:
                states = functional.dropout(states, self.dropout, self.training)
            states = cell(states, lengths)
        return states


def drop_dimensions(embedded: Tensor, probability: float, training: bool) -> Tensor:
    """Variational dropout: the same dimensions at all steps of a window (Gal & Ghahramani 2016)."""
    if not training or probability == 0:
        return embedded
    return embedded * functional.dropout(torch.ones_like(embedded[:1]), probability)


def build_seeded(
    model: Callable[[ArchitectureT, Noise], ModelT],
    architecture: ArchitectureT,
    settings: TrainingSettings,
    device: torch.device,
) -> ModelT:
    """A model to train, on the device; its initial weights depend on the seed alone."""
    noise = Noise(settings.embedding_dropout, settings.token_dropout, settings.dropout)
    with deterministic_rng(device, settings.deterministic):
        torch.manual_seed(settings.seed)
        return model(architecture, noise).to(device)
