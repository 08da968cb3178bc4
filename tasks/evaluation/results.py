"""The results of an evaluation, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.evaluation.calibration import Reliability
from tasks.shared.statistics.bootstrap import interval
from tasks.shared.statistics.metrics import Floats, Ints, LabelScores

MOST_LABELS_DRAWN = 100
"""With more labels the pictures show a hundred of them."""
MOST_LABELS_IN_MATRIX = 40
"""With more labels the worst confusions are listed: the cells of a drawn matrix could not be read."""
MOST_CONFUSIONS = 30


@dataclass(frozen=True)
class Estimate:
    """A score and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampling:
    """Settings of the bootstrap: number of resamples, confidence level, seed."""

    samples: int
    confidence: float
    seed: int

    def estimate(self, point: float, values: Floats) -> Estimate:
        """A score with the interval of its resampled `values` [samples]."""
        return Estimate(float(point), *interval(values, float(point), self.confidence))


@dataclass(frozen=True)
class Predictions:
    """The model's predictions for one split."""

    doc_ids: Sequence[str]
    labels: Ints
    """True class ids, [documents]."""
    probabilities: Floats
    """[documents, classes], rows sum to one."""

    @property
    def predicted(self) -> Ints:
        """The most probable class of each document; ties go to the first."""
        return np.asarray(self.probabilities.argmax(-1), np.int64)


@dataclass(frozen=True)
class Scores:
    """Accuracy and macro-F1 of a classifier."""

    documents: int
    accuracy: Estimate
    macro_f1: Estimate


@dataclass(frozen=True)
class Calibration:
    """Calibration of the probabilities."""

    reliability: Reliability
    error: Estimate
    log_loss: Estimate
    """Nats per document."""
    brier: Estimate
    prior_log_loss: float
    """Log-loss of predicting the label shares of the training and validation documents for every document."""
    prior_brier: float


@dataclass(frozen=True)
class Comparison:
    """A baseline, and the model's lead over it on the same documents (positive: the model is better)."""

    scores: Scores
    accuracy_lead: Estimate
    macro_f1_lead: Estimate
    only_model_right: int
    only_baseline_right: int
    mcnemar_p: float


@dataclass(frozen=True)
class MemberScores:
    """A member of the stack on the test split: alone, and what the stack would be without it."""

    accuracy: float
    macro_f1: float
    log_loss: float
    weight: float
    """0: it did not join."""
    without: WithoutMember | None
    """None if it did not join, or is the only one."""


@dataclass(frozen=True)
class WithoutMember:
    """The stack without a member, with weights fitted again: its scores, and tests against the whole stack."""

    accuracy: float
    log_loss: float
    log_loss_rise: float
    """Mean over the documents, in nats; positive: the member is of use."""
    rise_standard_error: float
    p_value: float
    """McNemar's exact test, corrected for the number of members (Holm)."""


@dataclass(frozen=True)
class Evaluation:
    """All scores of one model on the test split."""

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
class ValidationScores:
    """The stack's scores on the out-of-fold predictions that its weights were fitted to: for comparison alone."""

    documents: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class GradientProfile:
    """Gradient norms by lag, of one layer, direction and kind of state after one epoch."""

    epoch: int
    layer: int
    direction: str
    state: str
    lag: Floats
    """Steps from the state to the loss, ascending; [lags], like the norms."""
    norm: Floats
    """Mean over windows."""
    smallest: Floats
    largest: Floats

    @property
    def name(self) -> str:
        """Label in the legend."""
        return f"{self.direction}, {self.state}"

    def at(self, lag: int) -> float:
        """The norm at a lag; NaN if the windows are shorter."""
        return float(self.norm[lag]) if lag < len(self.norm) else np.nan


class Confusion(NamedTuple):
    """Documents of one label that got another."""

    label: str
    predicted: str
    documents: int
    share: float
    """Of the label's documents, from 0 to 1."""


def worst_confusions(names: Sequence[str], matrix: Ints, limit: int = MOST_CONFUSIONS) -> list[Confusion]:
    """The most frequent confusions of a matrix [true, predicted]; ties in the order of the labels."""
    off = np.array(matrix)
    np.fill_diagonal(off, 0)
    rows, columns = np.nonzero(off)
    order = np.argsort(-off[rows, columns], kind="stable")[:limit]
    totals = np.asarray(matrix).sum(1)
    return [
        Confusion(names[row], names[column], int(off[row, column]), float(off[row, column] / totals[row]))
        for row, column in zip(rows[order], columns[order], strict=True)
    ]
