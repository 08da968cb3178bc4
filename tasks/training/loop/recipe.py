"""How a network is trained, and what it is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.shared.statistics.metrics import Ints
from tasks.training.input.windows import Windows
from tasks.training.models.network import Dropout


@dataclass(frozen=True)
class Recipe:
    """The settings of the same names, see settings.py."""

    cell: str = "mingru"
    embedding_size: int = 16
    hidden_size: int = 32
    layers: int = 1
    bidirectional: bool = True
    dropout: Dropout = field(default_factory=Dropout)
    label_smoothing: float = 0.1
    class_weight_power: float = 0.0
    window: int = 256
    batch_size: int = 16
    epochs: int = 3
    learning_rate: float = 3e-3
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    seed: int = 0
    precision: str = "auto"
    deterministic: bool = True
    gradient_flow: bool = False


@dataclass(frozen=True)
class TrainingTexts:
    """The labelled texts, or a sample of them, cut into windows."""

    windows: Windows
    labels: Ints
    """Class ids, [texts]."""
    label_count: int
    folds: Ints
    """[texts]"""
    tokens: int
    """Size of the vocabulary."""
