"""Scores of a classifier's predictions and of its baselines, each with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from tasks.evaluation.calibration import brier_scores, log_losses, reliability
from tasks.evaluation.results import (
    Calibration,
    Comparison,
    Estimate,
    Evaluation,
    MemberScores,
    Predictions,
    Resampling,
    Scores,
    WithoutMember,
)
from tasks.shared.statistics import log_probabilities
from tasks.shared.statistics.bootstrap import bootstrap, mcnemar
from tasks.shared.statistics.metrics import Floats, Ints, accuracy, confusion_matrix, label_scores, macro_f1, measures
from tasks.stacking.weights import combine


def evaluate(
    test: Predictions,
    baselines: Mapping[str, Ints],
    known_labels: Ints,
    label_names: tuple[str, ...],
    resampling: Resampling,
    bins: int,
) -> Evaluation:
    """Scores the model on `test`, and each baseline by its predicted class ids for the same documents.

    `known_labels` are the class ids of the training and validation documents.
    """
    classes = len(label_names)
    model = ResampledScores.of(test.labels, test.predicted, classes, resampling)
    return Evaluation(
        label_names=label_names,
        resampling=resampling,
        scores=model.scores(resampling),
        confusion=model.confusion,
        per_label=label_scores(model.confusion),
        f1=tuple(
            resampling.estimate(point, values)
            for point, values in zip(label_scores(model.confusion).f1, model.f1.T, strict=True)
        ),
        calibration=calibration(test, np.bincount(known_labels, minlength=classes), bins, resampling),
        baselines={
            name: compare(model, ResampledScores.of(test.labels, predicted, classes, resampling), resampling)
            for name, predicted in baselines.items()
        },
    )


@dataclass(frozen=True)
class ResampledScores:
    """A classifier's confusion matrix, and its scores on the bootstrap resamples."""

    right: Ints
    """1 for a correct prediction, else 0, [documents]."""
    confusion: Ints
    accuracy: Floats
    """[samples]"""
    macro_f1: Floats
    """[samples]"""
    f1: Floats
    """[samples, classes]; NaN for a label without documents and predictions."""

    @classmethod
    def of(cls, labels: Ints, predicted: Ints, classes: int, resampling: Resampling) -> ResampledScores:
        """Scores predicted class ids [documents] against the true ones."""

        def statistic(drawn: Ints) -> Floats:
            return measures(labels[drawn], predicted[drawn], classes)

        values = bootstrap(statistic, len(labels), resampling.samples, resampling.seed, numbers=2 + classes)
        return cls(
            right=(labels == predicted).astype(np.int64),
            confusion=confusion_matrix(labels, predicted, classes),
            accuracy=values[:, 0],
            macro_f1=values[:, 1],
            f1=values[:, 2:],
        )

    def scores(self, resampling: Resampling) -> Scores:
        """Accuracy and macro-F1 with their intervals."""
        return Scores(
            documents=len(self.right),
            accuracy=resampling.estimate(float(accuracy(self.confusion)), self.accuracy),
            macro_f1=resampling.estimate(float(macro_f1(self.confusion)), self.macro_f1),
        )


def compare(model: ResampledScores, baseline: ResampledScores, resampling: Resampling) -> Comparison:
    """A baseline's scores and the model's lead over it, on the same resamples."""
    only_model = int((model.right > baseline.right).sum())
    only_baseline = int((model.right < baseline.right).sum())

    def lead(measure: Callable[[Ints], Floats], first: Floats, second: Floats) -> Estimate:
        return resampling.estimate(float(measure(model.confusion) - measure(baseline.confusion)), first - second)

    return Comparison(
        scores=baseline.scores(resampling),
        accuracy_lead=lead(accuracy, model.accuracy, baseline.accuracy),
        macro_f1_lead=lead(macro_f1, model.macro_f1, baseline.macro_f1),
        only_model_right=only_model,
        only_baseline_right=only_baseline,
        mcnemar_p=mcnemar(only_model, only_baseline),
    )


def calibration(test: Predictions, known_counts: Ints, bins: int, resampling: Resampling) -> Calibration:
    """Calibration of the model's probabilities; `known_counts` are training and validation documents by label."""
    confidence = test.probabilities.max(-1)
    right = (test.predicted == test.labels).astype(np.float64)
    losses, briers = log_losses(test.labels, test.probabilities), brier_scores(test.labels, test.probabilities)
    prior = np.broadcast_to(known_counts / known_counts.sum(), test.probabilities.shape)
    table = reliability(confidence, right, bins)

    def estimate(point: Floats, statistic: Callable[[Ints], Floats]) -> Estimate:
        values = bootstrap(statistic, len(right), resampling.samples, resampling.seed, numbers=bins)
        return resampling.estimate(float(point), values)

    return Calibration(
        reliability=table,
        error=estimate(table.error, lambda drawn: reliability(confidence[drawn], right[drawn], bins).error),
        log_loss=estimate(losses.mean(), lambda drawn: losses[drawn].mean(-1)),
        brier=estimate(briers.mean(), lambda drawn: briers[drawn].mean(-1)),
        prior_log_loss=float(log_losses(test.labels, prior).mean()),
        prior_brier=float(brier_scores(test.labels, prior).mean()),
    )


def judge_members(
    scores: Mapping[str, log_probabilities.Scores], model: Mapping[str, Any], labels: Ints
) -> dict[str, MemberScores]:
    """From the log-probabilities of every member [documents, labels], the content of model.json, and the labels."""
    stacked = combine(scores, model["weights"])
    without = {name: combine(scores, weights) for name, weights in model["without"].items()}
    p_values = holm({name: _mcnemar(stacked, other, labels) for name, other in without.items()})
    return {
        name: MemberScores(
            accuracy=_accuracy(some, labels),
            macro_f1=float(macro_f1(confusion_matrix(labels, some.argmax(axis=1), some.shape[1]))),
            log_loss=log_probabilities.log_loss(some, labels),
            weight=float(model["weights"].get(name, 0.0)),
            without=_without(stacked, without[name], labels, p_values[name]) if name in without else None,
        )
        for name, some in scores.items()
    }


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected for their number (Holm 1979)."""
    corrected, highest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = highest
    return corrected


def _without(
    stacked: log_probabilities.Scores, other: log_probabilities.Scores, labels: Ints, p_value: float
) -> WithoutMember:
    rise = log_probabilities.losses(other, labels) - log_probabilities.losses(stacked, labels)
    error = float(rise.std(ddof=1) / sqrt(len(rise))) if len(rise) > 1 else 0.0
    return WithoutMember(
        _accuracy(other, labels), log_probabilities.log_loss(other, labels), float(rise.mean()), error, p_value
    )


def _mcnemar(first: log_probabilities.Scores, second: log_probabilities.Scores, labels: Ints) -> float:
    right, other = (some.argmax(axis=1) == labels for some in (first, second))
    return mcnemar(int((right & ~other).sum()), int((other & ~right).sum()))


def _accuracy(scores: log_probabilities.Scores, labels: Ints) -> float:
    return float(accuracy(confusion_matrix(labels, scores.argmax(axis=1), scores.shape[1])))
