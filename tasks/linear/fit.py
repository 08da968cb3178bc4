"""Features and weights of a linear member; those of counts are in logistic.py.

LinearSVC (liblinear), one label against the rest, is as good as multinomial logistic regression here and ten to forty
times as fast (docs/experiments.md); a softmax turns its margins into probabilities. Before each fit the terms are
scaled by what they say about the label (NBSVM: Wang & Manning, ACL 2012), so regularization spares telling terms.

Memory: weights are terms times labels. With many labels fewer terms are kept, so that they stay below `MAX_WEIGHTS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.linear import logistic, ngrams
from tasks.linear.counting import count_all, select
from tasks.linear.member import Choice, weigh
from tasks.linear.schema import Kind
from tasks.shared.statistics.metrics import Ints

MAX_WEIGHTS = 2**25
"""64 MB as float16."""
PSEUDO_COUNT = 1.0
"""Added to observed and expected texts: shrinks the evidence of rare terms."""
LEAST_EVIDENCE = 0.2
"""Terms that say less about a label, in nats, are not used for it: half of them, at no loss (docs/experiments.md)."""
SVM_SHARES = (1.0, 0.25)
"""The values of `Choice.svm_share` for two labels; with more of them only the first is tried."""
MANY_LABELS = 500
"""With more labels nothing is chosen: a support vector machine is some ten milliseconds for each label and fit."""


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
    """The features of the labelled texts [texts, terms], the terms and their inverse document frequencies."""

    values: csr_array
    terms: Sequence[str]
    idf: NDArray[np.float32]


def make_features(options: Options, texts: Iterable[str], label_count: int) -> Features:
    """Selects the terms by document frequency, which depends on no label, and weights them."""
    counted = count_all(options.kind, texts)
    bound = logistic.MAX_WEIGHTS if options.kind == "counts" else MAX_WEIGHTS
    kept = select(counted.frequencies, options.min_df, min(options.max_terms, bound // label_count))
    frequencies, terms = counted.frequencies[kept], counted.names(kept)
    idf = ngrams.inverse_document_frequencies(frequencies, counted.texts)
    values = int(frequencies.sum())
    data, indices, ends = np.empty(values, np.float32), np.empty(values, np.int32), [np.zeros(1, np.int32)]
    filled = 0
    for counts in counted.blocks(kept):
        block = weigh(options.kind, counts, idf)
        data[filled : filled + block.nnz], indices[filled : filled + block.nnz] = block.data, block.indices
        ends.append(block.indptr[1:] + np.int32(filled))
        filled += block.nnz
    return Features(csr_array((data, indices, np.concatenate(ends)), shape=(counted.texts, len(kept))), terms, idf)


def choices(options: Options, labels: Ints) -> list[Choice]:
    """All values of C; also with balanced labels if one has more than twice as many texts as another.

    The labels of counts are always balanced. Words and characters are scaled by label evidence; but for two labels only
    words are, with more or less of naive Bayes: both scaled are too much alike to help each other in the stack. With
    more than `MANY_LABELS` the only choice is the value of C in the middle, with unbalanced labels.
    """
    if options.kind == "counts":
        return [Choice(C, balanced=True) for C in options.C]
    counts = np.unique(labels, return_counts=True)[1]
    balanced = (False, True) if counts.max() > 2 * counts.min() else (False,)
    if len(counts) > MANY_LABELS:
        return [Choice(sorted(options.C)[len(options.C) // 2], balanced=False, scaled=True)]
    two = len(counts) == 2
    scaled = not two or options.kind == "words"
    shares = SVM_SHARES if two and scaled else SVM_SHARES[:1]
    return [Choice(C, weighting, scaled, share) for weighting in balanced for share in shares for C in options.C]


def fit_weights(
    kind: Kind, values: csr_array, labels: Ints, label_count: int, choice: Choice
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights [terms, labels] and bias [labels] of a member, from its features [texts, terms]."""
    fit = logistic.fit_logistic if kind == "counts" else fit_svm
    return fit(values, labels, label_count, choice)


def fit_svm(
    values: csr_array, labels: Ints, label_count: int, choice: Choice
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights [terms, labels] and bias [labels]; a label without texts has the margin -1 everywhere.

    If there is no term, or only one label, the bias is the share of each label, and the weights are zero.
    """
    weights, bias = np.zeros((values.shape[1], label_count), np.float32), np.full(label_count, -1, np.float32)
    known = np.unique(labels)
    if len(known) < 2 or not values.shape[1]:
        bias[:] = np.bincount(labels, minlength=label_count) / max(len(labels), 1)
        return weights, bias
    found = document_counts(values)
    for label in known[-1:] if len(known) == 2 else known:
        weights[:, label], bias[label] = _fit_label(values, labels == label, choice, found)
    if len(known) == 2:
        weights[:, known[0]], bias[known[0]] = -weights[:, known[1]], -bias[known[1]]
    return weights, bias


def _fit_label(
    values: csr_array, own: NDArray[np.bool_], choice: Choice, found: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Weights [terms] and bias of one label against the rest; `own` [texts] is true for its texts."""
    from sklearn.svm import LinearSVC  # a second to import, and prediction does without

    evidence = label_evidence(values, own, found) if choice.scaled else np.ones(values.shape[1], np.float32)
    kept = np.flatnonzero(evidence)
    weights = np.zeros(len(evidence), np.float32)
    if not len(kept):
        return weights, 2 * float(own.mean()) - 1
    chosen = values[:, kept]
    chosen.data *= evidence[kept][chosen.indices]
    scaled = csr_array((chosen.data.astype(np.float64), chosen.indices, chosen.indptr), shape=chosen.shape)
    del chosen  # scikit-learn would keep another copy of the same
    class_weight = "balanced" if choice.balanced else None
    svm = LinearSVC(C=choice.C, class_weight=class_weight, tol=0.1, random_state=0).fit(scaled, own)
    of_bayes = np.abs(svm.coef_[0]).sum() / len(evidence)
    weights[kept] = (choice.svm_share * svm.coef_[0] + (1 - choice.svm_share) * of_bayes) * evidence[kept]
    return weights, float(svm.intercept_[0])


def document_counts(values: csr_array) -> NDArray[np.float32]:
    """The number of texts with each term, [terms]."""
    return np.bincount(values.indices, minlength=values.shape[1]).astype(np.float32)


def label_evidence(values: csr_array, own: NDArray[np.bool_], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each term says for a label rather than for the rest, in nats [terms]; 0 below `LEAST_EVIDENCE`.

    `found` are the `document_counts` of the values.

    The number of texts with the term is compared with the number expected if labels did not matter, among the label's
    texts and among the rest: the difference of their logarithms. Unlike smoothed shares, it is near zero for a rare
    term in the texts of frequent labels, which would otherwise speak for every rare label.
    """
    here = document_counts(values[own])
    expected, c = found * np.float32(own.mean()), np.float32(PSEUDO_COUNT)
    evidence = np.log((here + c) / (expected + c)) - np.log((found - here + c) / (found - expected + c))
    evidence[np.abs(evidence) < LEAST_EVIDENCE] = 0
    return evidence
