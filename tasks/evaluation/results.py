"""What an evaluation says of a classifier, and how sure it is of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.evaluation.calibration import Reliability
from tasks.shared.statistics.bootstrap import interval
from tasks.shared.statistics.metrics import Floats, Ints, LabelScores


@dataclass(frozen=True)
class Estimate:
    """A measure and the interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: number of resamples, share of them inside an interval, seed."""

    samples: int
    confidence: float
    seed: int

    def estimate(self, point: float, values: Floats) -> Estimate:
        """A measure with the interval of its resampled `values` [samples]."""
        return Estimate(float(point), *interval(values, float(point), self.confidence))


@dataclass(frozen=True)
class Predictions:
    """What the model says of one part of the corpus."""

    doc_ids: Sequence[str]
    labels: Ints
    """True class ids, [documents]."""
    probabilities: Floats
    """[documents, classes], rows sum to one."""

    @property
    def predicted(self) -> Ints:
        """The likeliest class of each document; of equally likely ones the first."""
        return np.asarray(self.probabilities.argmax(-1), np.int64)


@dataclass(frozen=True)
class Scores:
    """How often a classifier is right."""

    documents: int
    accuracy: Estimate
    macro_f1: Estimate


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities can be believed."""

    reliability: Reliability
    error: Estimate
    log_loss: Estimate
    """Nats per document."""
    brier: Estimate
    shares_log_loss: float
    """Log-loss of answering every document with the label shares of the known documents."""
    shares_brier: float


@dataclass(frozen=True)
class Comparison:
    """A baseline, and the model's lead over it on the same documents (above zero: the model is better)."""

    scores: Scores
    accuracy_lead: Estimate
    macro_f1_lead: Estimate
    only_model_right: int
    only_baseline_right: int
    mcnemar_p: float


@dataclass(frozen=True)
class Evaluation:
    """All measures of one model on the test part."""

    label_names: tuple[str, ...]
    resampling: Resampling
    scores: Scores
    confusion: Ints
    """[classes, classes], rows are true labels."""
    per_label: LabelScores
    f1: tuple[Estimate, ...]
    """F1 of each label."""
    calibration: Calibration
    baselines: Mapping[str, Comparison]


@dataclass(frozen=True)
class Validated:
    """How the kept epoch did on the validation part, which training made its choices by: no measure of the model."""

    documents: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class Reach:
    """Gradient norms of one layer, direction and kind of state after one epoch."""

    epoch: int
    layer: int
    direction: str
    state: str
    distance: Floats
    """Steps from the loss, ascending; [distances], as the rest."""
    norm: Floats
    """Mean over windows."""
    smallest: Floats
    largest: Floats

    @property
    def name(self) -> str:
        """What the legend calls it."""
        return f"{self.direction}, {self.state}"

    def at(self, distance: int) -> float:
        """The norm at a distance; NaN where windows are shorter."""
        return float(self.norm[distance]) if distance < len(self.norm) else np.nan
