"""Scores a repeated cross-validation: each repeat predicts every document once, with a model not trained on it.

Intervals and p-values resample documents: the predictions of all repeats for a document are drawn together. Treating
them as independent would make the intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.evaluation.results import Estimate, Resampling
from tasks.shared.statistics.bootstrap import bootstrap
from tasks.shared.statistics.metrics import Floats, Ints, confusion_matrix, label_scores, measures


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions of the model and its baselines for all documents in all repeats."""

    label_names: tuple[str, ...]
    labels: Ints
    """True class ids, [documents]."""
    model: Ints
    """Predicted class ids, [repeats, documents]."""
    baselines: Mapping[str, Ints]
    """The same for each baseline."""


def summarise(predictions: FoldPredictions, resampling: Resampling) -> dict[str, Any]:
    """Scores with intervals as JSON values: of the model, each label, and each baseline with the model's lead."""
    labels, classes = predictions.labels, len(predictions.label_names)
    model, drawn = _measure(labels, predictions.model, classes, resampling)
    baselines = {}
    for name, predicted in predictions.baselines.items():
        baseline, drawn_baseline = _measure(labels, predicted, classes, resampling)
        baselines[name] = _compared(model, drawn, baseline, drawn_baseline, resampling) | {
            "p_value": sign_flip(lead(labels, predictions.model, predicted))
        }
    return {
        "accuracy": _mean(resampling.estimate(model[0], drawn[:, 0])),
        "macro_f1": _mean(resampling.estimate(model[1], drawn[:, 1])),
        "baselines": baselines,
        "per_label": _per_label(predictions, model[2:], drawn[:, 2:], resampling),
        "documents": len(labels),
        "repeats": len(predictions.model),
    }


def lead(labels: Ints, model: Ints, baseline: Ints) -> Ints:
    """The model's minus the baseline's number of repeats with a correct prediction, [documents]."""
    return np.asarray(((model == labels).astype(np.int64) - (baseline == labels)).sum(0), np.int64)


def sign_flip(differences: Ints) -> float:
    """Two-sided exact p-value of the hypothesis that two classifiers are equally accurate, from `lead`.

    Fisher's paired randomization test: under the hypothesis each difference may have either sign, so the sum is
    compared with those of all 2^documents choices of signs. With one repeat the differences are -1, 0 or 1, and this
    is McNemar's exact test. With several, McNemar's test on all predictions would count each document several times.
    """
    from scipy.stats import binom  # half a second to import

    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    probabilities = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(2 * size * count + 1)
        spread[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        probabilities = np.convolve(probabilities, spread)
    sums = np.arange(len(probabilities)) - len(probabilities) // 2
    return min(1.0, float(probabilities[np.abs(sums) >= abs(int(differences.sum()))].sum()))


def _measure(labels: Ints, predicted: Ints, classes: int, resampling: Resampling) -> tuple[Floats, Floats]:
    """Mean measures over the repeats: of the documents [2 + classes], and of the resamples [samples, …].

    Of all folds together, not a mean of the folds' scores: the F1 of a rare label is biased in a fold with few texts of
    it (Forman & Scholz, "Apples-to-Apples in Cross-Validation Studies", 2010).
    """

    def mean_of_repeats(drawn: Ints) -> Floats:
        return np.asarray(np.mean([measures(labels[drawn], p[drawn], classes) for p in predicted], axis=0))

    values = bootstrap(mean_of_repeats, len(labels), resampling.samples, resampling.seed, numbers=2 + classes)
    return mean_of_repeats(np.arange(len(labels), dtype=np.int64)), values


def _mean(estimate: Estimate) -> dict[str, float]:
    return {"mean": estimate.value, "low": estimate.low, "high": estimate.high}


def _compared(
    model: Floats, drawn: Floats, baseline: Floats, drawn_baseline: Floats, resampling: Resampling
) -> dict[str, Any]:
    """A baseline's scores and the model's lead over it, on the same resamples."""
    compared: dict[str, Any] = {}
    for i, name in enumerate(("accuracy", "macro_f1")):
        own = resampling.estimate(float(baseline[i]), drawn_baseline[:, i])
        ahead = resampling.estimate(float(model[i] - baseline[i]), drawn[:, i] - drawn_baseline[:, i])
        compared |= {
            name: own.value,
            f"{name}_interval": [own.low, own.high],
            f"{name}_difference": ahead.value,
            f"{name}_difference_interval": [ahead.low, ahead.high],
        }
    return compared


def _per_label(predictions: FoldPredictions, f1: Floats, drawn: Floats, resampling: Resampling) -> dict[str, Any]:
    model, names = predictions.model, predictions.label_names
    scores = label_scores(confusion_matrix(np.broadcast_to(predictions.labels, model.shape), model, len(names)))
    table = {}
    for i, label in enumerate(names):
        estimate = resampling.estimate(float(np.nan_to_num(f1[i])), drawn[:, i])
        table[label] = {
            "precision": float(scores.precision[:, i].mean()),
            "recall": float(scores.recall[:, i].mean()),
            "f1": estimate.value,
            "f1_interval": [estimate.low, estimate.high],
            "support": int(scores.support[0, i]),
        }
    return table
