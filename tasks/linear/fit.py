"""Features and weights of a linear member.

LinearSVC (liblinear, one-vs-rest) is as good as multinomial logistic regression here and ten to forty times as fast
(docs/experiments.md); a softmax turns its margins into probabilities.

Memory: weights are terms times labels. With many labels fewer terms are kept, so that they stay below `MAX_WEIGHTS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.linear import ngrams
from tasks.linear.member import COUNTERS, Choice, Kind
from tasks.shared.statistics.metrics import Ints

MAX_WEIGHTS = 2**25
"""64 MB as float16."""


@dataclass(frozen=True)
class Options:
    """The settings of a linear member."""

    kind: Kind
    min_df: int
    max_terms: int
    C: Sequence[float]
    """The values to choose from."""


@dataclass(frozen=True)
class Features:
    """TF-IDF of the labelled texts [texts, terms], the terms and their inverse document frequencies."""

    values: csr_array
    terms: Sequence[str]
    idf: NDArray[np.float32]


def make_features(options: Options, texts: Sequence[str], label_count: int) -> Features:
    """Selects the terms by document frequency, which depends on no label, and weights them."""
    counts, terms = COUNTERS[options.kind](texts)
    max_terms = min(options.max_terms, MAX_WEIGHTS // label_count)
    counts, terms, frequencies = ngrams.select(counts, terms, options.min_df, max_terms)
    idf = ngrams.inverse_document_frequencies(frequencies, len(texts))
    return Features(ngrams.tf_idf(counts, idf), terms, idf)


def choices(options: Options, labels: Ints) -> list[Choice]:
    """All values of C; also with balanced labels if one has more than twice as many texts as another."""
    counts = np.unique(labels, return_counts=True)[1]
    balanced = (False, True) if counts.max() > 2 * counts.min() else (False,)
    return [Choice(C, weighting) for weighting in balanced for C in options.C]


def fit_svm(
    values: csr_array, labels: Ints, label_count: int, choice: Choice
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights [terms, labels] and bias [labels]; a label without texts has the margin -1 everywhere.

    If there is no term, or only one label, the bias is the share of each label, and the weights are zero.
    """
    from sklearn.svm import LinearSVC  # a second to import, and prediction does without

    weights, bias = np.zeros((values.shape[1], label_count), np.float32), np.full(label_count, -1, np.float32)
    known = np.unique(labels)
    if len(known) < 2 or not values.shape[1]:
        bias[:] = np.bincount(labels, minlength=label_count) / max(len(labels), 1)
        return weights, bias
    class_weight = "balanced" if choice.balanced else None
    svm = LinearSVC(C=choice.C, class_weight=class_weight, tol=0.1, random_state=0).fit(values, labels)
    coefficients, intercepts = svm.coef_, svm.intercept_
    if len(known) == 2:  # scikit-learn then has one row, for the second label
        coefficients = np.concatenate([-coefficients, coefficients])
        intercepts = np.concatenate([-intercepts, intercepts])
    weights[:, known], bias[known] = coefficients.T, intercepts
    return weights, bias
