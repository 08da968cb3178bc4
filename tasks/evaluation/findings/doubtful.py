"""Labels worth a second look: confident learning (Northcutt, Jiang & Chuang, JAIR 70, 2021, arXiv 1911.00068).

A label is confidently predicted for a text if its out-of-fold probability is at least the mean of that probability over
the texts that were given the label; of several such labels the most probable one. A text is doubtful if this is another
label than its own: an off-diagonal text of the paper's confident joint, which cleanlab calls
`filter_by="confident_learning"`. The most likely mistakes come first, by the probability of the given label less that
of the suggested one (the paper's normalized margin).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.shared.statistics.log_probabilities import Scores
from tasks.shared.statistics.metrics import Ints


@dataclass(frozen=True)
class Doubtful:
    """A text whose label is probably wrong. Probabilities are out of fold."""

    doc_id: str
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float


def find_doubtful(scores: Scores, labels: Ints, doc_ids: Sequence[str], label_names: Sequence[str]) -> list[Doubtful]:
    """The doubtful texts, the most likely mistakes first.

    `scores` are calibrated log-probabilities [texts, labels] of models that have not seen the text's own label;
    `labels` [texts] are class ids. A label that no text was given is never suggested.
    """
    probabilities = np.exp(scores.astype(np.float64))
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    thresholds = np.full(classes, np.inf)
    np.divide(np.bincount(labels, own, minlength=classes), counts, out=thresholds, where=counts > 0)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    doubted = np.flatnonzero((confident.max(axis=1) >= 0) & (suggested != labels))
    likeliest = probabilities[doubted, suggested[doubted]]
    return [
        Doubtful(
            doc_ids[text],
            label_names[labels[text]],
            label_names[suggested[text]],
            float(own[text]),
            float(probabilities[text, suggested[text]]),
        )
        for text in doubted[np.argsort(own[doubted] - likeliest, kind="stable")].tolist()
    ]
