"""Measures a repeated cross-validation: every document is answered once per repeat, by a model that never saw it.

The document is the unit of everything that is said of chance: all repeats' answers to a document are drawn together,
for they are answers to the same question, and counting them apart would make the intervals too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.evaluation.results import Estimate, Resampling
from tasks.shared.statistics.bootstrap import bootstrap
from tasks.shared.statistics.metrics import Floats, Ints, accuracy, confusion_matrix, label_scores, macro_f1, occurring


@dataclass(frozen=True)
class Answers:
    """What the model and its baselines said of all documents in all repeats."""

    label_names: tuple[str, ...]
    labels: Ints
    """True class ids, [documents]."""
    model: Ints
    """Predicted class ids, [repeats, documents]."""
    baselines: Mapping[str, Ints]
    """The same of each baseline."""


def summarise(answers: Answers, resampling: Resampling) -> dict[str, Any]:
    """Scores with intervals, of the model, of each label, and of each baseline beside the model, as JSON values."""
    classes = len(answers.label_names)
    model, drawn = _measure(answers.labels, answers.model, classes, resampling)
    baselines = {}
    for name, predicted in answers.baselines.items():
        found, of_resamples = _measure(answers.labels, predicted, classes, resampling)
        baselines[name] = _compared(model, drawn, found, of_resamples, resampling) | {
            "p_value": sign_flip(lead(answers.labels, answers.model, predicted))
        }
    return {
        "accuracy": _mean(resampling.estimate(model[0], drawn[:, 0])),
        "macro_f1": _mean(resampling.estimate(model[1], drawn[:, 1])),
        "baselines": baselines,
        "per_label": _per_label(answers, model[2:], drawn[:, 2:], resampling),
        "documents": len(answers.labels),
        "repeats": len(answers.model),
    }


def measures(labels: Ints, predicted: Ints, classes: int) -> Floats:
    """Accuracy, macro-F1 and each label's F1, [..., 2 + classes], of class ids [..., documents].

    One confusion matrix of all folds together, not a mean of the folds' scores: a fold has few texts of a rare label,
    and its F1 is then biased (Forman & Scholz, "Apples-to-Apples in Cross-Validation Studies", 2010).
    The F1 of a label that neither occurs nor was predicted is NaN.
    """
    confusion = confusion_matrix(labels, predicted, classes)
    f1 = np.where(occurring(confusion), label_scores(confusion).f1, np.nan)
    return np.concatenate([np.stack([accuracy(confusion), macro_f1(confusion)], axis=-1), f1], axis=-1)


def lead(labels: Ints, model: Ints, baseline: Ints) -> Ints:
    """In how many more repeats the model was right of each document than the baseline, [documents]."""
    return np.asarray(((model == labels).astype(np.int64) - (baseline == labels)).sum(0), np.int64)


def sign_flip(differences: Ints) -> float:
    """Two-sided exact p-value that two classifiers are right equally often, from each document's difference.

    Fisher's paired randomization test: were they equally good, each difference might as well have the other sign, so
    the sum is compared with that of all 2^documents choices of signs. With one repeat the differences are -1, 0 or 1,
    and this is McNemar's exact test. With several, McNemar's test on all answers would count each document many times.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    shares = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(2 * size * count + 1)
        spread[:: 2 * size] = _heads(count)
        shares = np.convolve(shares, spread)
    sums = np.arange(len(shares)) - len(shares) // 2
    return min(1.0, float(shares[np.abs(sums) >= abs(int(differences.sum()))].sum()))


def _heads(coins: int) -> Floats:
    """Probabilities of 0 … `coins` heads of fair coins."""
    logs = [-math.lgamma(heads + 1) - math.lgamma(coins - heads + 1) for heads in range(coins + 1)]
    return np.exp(np.array(logs) + math.lgamma(coins + 1) - coins * math.log(2))


def _measure(labels: Ints, predicted: Ints, classes: int, resampling: Resampling) -> tuple[Floats, Floats]:
    """The measures' means over the repeats: of the documents [2 + classes], and of the resamples [samples, …]."""

    def mean_of_repeats(drawn: Ints) -> Floats:
        return np.asarray(np.mean([measures(labels[drawn], p[drawn], classes) for p in predicted], axis=0))

    everyone = np.arange(len(labels), dtype=np.int64)
    values = bootstrap(mean_of_repeats, len(labels), resampling.samples, resampling.seed, numbers=classes**2)
    return mean_of_repeats(everyone), values


def _mean(found: Estimate) -> dict[str, float]:
    return {"mean": found.value, "low": found.low, "high": found.high}


def _compared(
    model: Floats, drawn: Floats, baseline: Floats, drawn_baseline: Floats, resampling: Resampling
) -> dict[str, Any]:
    """A baseline's scores and the model's lead over it; both were measured on the same resamples."""
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


def _per_label(answers: Answers, f1: Floats, drawn: Floats, resampling: Resampling) -> dict[str, Any]:
    scores = label_scores(
        confusion_matrix(np.broadcast_to(answers.labels, answers.model.shape), answers.model, len(answers.label_names))
    )
    table = {}
    for i, label in enumerate(answers.label_names):
        found = resampling.estimate(float(np.nan_to_num(f1[i])), drawn[:, i])
        table[label] = {
            "precision": float(scores.precision[:, i].mean()),
            "recall": float(scores.recall[:, i].mean()),
            "f1": found.value,
            "f1_interval": [found.low, found.high],
            "support": int(scores.support[0, i]),
        }
    return table
