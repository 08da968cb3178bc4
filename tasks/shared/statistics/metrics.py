"""Classification measures from class ids: confusion matrix, accuracy, precision, recall, F1, macro-F1.

Every function accepts any number of leading dimensions, so that the same code scores the documents and their bootstrap
resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelScores:
    """Scores of each label, arrays [..., classes]; 0/0 counts as 0."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints
    """Documents with this true label."""


def confusion_matrix(labels: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts of documents by true class (rows) and predicted class (columns).

    `labels` and `predicted` are class ids [..., documents]; the result is [..., classes, classes].
    """
    leading = labels.shape[:-1]
    tables = int(np.prod(leading, dtype=np.int64))
    cells = (labels * classes + predicted).reshape(tables, -1)
    cells = cells + np.arange(tables, dtype=np.int64)[:, None] * classes**2
    counts = np.bincount(cells.ravel(), minlength=tables * classes**2)
    return counts.astype(np.int64).reshape(*leading, classes, classes)


def accuracy(confusion: Ints) -> Floats:
    """Share of correct predictions, [...]."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum((-2, -1)))


def label_scores(confusion: Ints) -> LabelScores:
    """Precision, recall, F1 = 2 TP / (2 TP + FP + FN) and support of each label, [..., classes]."""
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _label_scores(correct, confusion.sum(-1), confusion.sum(-2))


def _label_scores(correct: Ints, support: Ints, predictions: Ints) -> LabelScores:
    return LabelScores(
        precision=_ratio(correct, predictions),
        recall=_ratio(correct, support),
        f1=_ratio(2 * correct, support + predictions),
        support=support,
    )


def macro_f1(confusion: Ints) -> Floats:
    """Mean of the labels' F1 scores, each label counting the same, [...].

    A label without documents that was never predicted has no F1 (0/0) and is excluded from the mean; one that was
    predicted but has no documents counts 0. This is scikit-learn's `f1_score(average="macro")`
    without `labels`, and the mean of F1 scores rather than the F1 of mean precision and recall
    (Opitz & Burst, "Macro F1 and Macro F1", 2019).
    """
    return _ratio(label_scores(confusion).f1.sum(-1), occurring(confusion).sum(-1))


def occurring(confusion: Ints) -> npt.NDArray[np.bool_]:
    """Whether a label has any document or any prediction, [..., classes]."""
    return np.asarray((confusion.sum(-1) + confusion.sum(-2)) > 0)


def measures(labels: Ints, predicted: Ints, classes: int) -> Floats:
    """Accuracy, macro-F1 and each label's F1, [..., 2 + classes], of class ids [..., documents].

    What the functions above give, without a confusion matrix, whose size is the square of the number of classes. The F1
    of a label without documents and predictions is NaN.
    """
    right = labels == predicted
    correct, support, predictions = (
        _count(ids, classes, weights)
        for ids, weights in ((labels, right.astype(np.float64)), (labels, None), (predicted, None))
    )
    f1, present = _label_scores(correct, support, predictions).f1, support + predictions > 0
    summary = np.stack([_ratio(right.sum(-1), support.sum(-1)), _ratio(f1.sum(-1), present.sum(-1))], axis=-1)
    return np.concatenate([summary, np.where(present, f1, np.nan)], axis=-1)


def _count(ids: Ints, classes: int, weights: Floats | None) -> Ints:
    """How often each class occurs among class ids [..., documents], [..., classes]."""
    leading = ids.shape[:-1]
    tables = int(np.prod(leading, dtype=np.int64))
    cells = ids.reshape(tables, -1) + np.arange(tables, dtype=np.int64)[:, None] * classes
    counts = np.bincount(cells.ravel(), None if weights is None else weights.ravel(), minlength=tables * classes)
    return counts.astype(np.int64).reshape(*leading, classes)


def _ratio(numerator: npt.NDArray[np.generic], denominator: npt.NDArray[np.generic]) -> Floats:
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.asarray(np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator != 0))
