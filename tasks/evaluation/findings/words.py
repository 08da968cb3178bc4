"""Each label's strongest words, by the linear member that reads words.

What a word or a pair says for a label is its weight, less the mean of its weights of all labels, times its mean feature
in the label's texts: what it adds, on average, to the label's margin there. So a word counts if it is both telling and
common. At most `TEXTS_PER_LABEL` texts of a label and `MOST_TEXTS` of all are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from tasks.linear.member import LinearMember
from tasks.shared.statistics.metrics import Ints

TEXTS_PER_LABEL, MOST_TEXTS = 30, 4_000
MOST_WORDS = 10


@dataclass(frozen=True)
class StrongWord:
    """A word or a pair, and what it adds to the label's logit in the label's texts, on average, in nats."""

    label: str
    word: str
    amount: float


def texts_to_read(labels: Ints, label_count: int) -> Ints:
    """The positions of the texts that are read, in order, of the class ids `labels` [texts]."""
    per_label = max(1, min(TEXTS_PER_LABEL, MOST_TEXTS // label_count))
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], np.arange(label_count))
    rank = np.arange(len(labels)) - first[labels[order]]
    return np.sort(order[rank < per_label])


def strongest_words(
    member: LinearMember, texts: Sequence[str], labels: Ints, label_names: Sequence[str]
) -> list[StrongWord]:
    """The strongest words of each label, in the order of the labels, the strongest first; none below zero.

    `texts` are those to read, `labels` [texts] their class ids.
    """
    features = member.features(texts)
    counts = np.bincount(labels, minlength=len(label_names))
    means = (
        csr_array((1 / counts[labels], (labels, np.arange(len(texts)))), shape=(len(label_names), len(texts)))
        @ features
    )
    centre = member.weights.mean(axis=1)
    found = []
    for number, name in enumerate(label_names):
        row = slice(means.indptr[number], means.indptr[number + 1])
        terms = means.indices[row]
        amounts = means.data[row] * (member.weights[terms, number] - centre[terms]) * member.scale
        order = np.lexsort((terms, -amounts))[:MOST_WORDS]
        found += [
            StrongWord(name, member.terms[terms[position]], float(amounts[position]))
            for position in order.tolist()
            if amounts[position] > 0
        ]
    return found
