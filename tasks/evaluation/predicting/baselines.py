"""Simple text classifiers to compare the model with, trained on the texts that the model's members learned from.

They have no hyperparameters to select, so they learn from the validation texts too.

Words are sequences of two or more letters or digits, lower-cased, in two or more of the texts learned from. If these
share no such word, the word classifiers predict the majority class; the character classifier likewise. All read counts,
as scikit-learn's `CountVectorizer` makes them: the word classifiers the same ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from tasks.linear import ngrams
from tasks.shared.statistics.metrics import Ints

MIN_DF = 2
MANY_LABELS, WORK = 100, 2**33
"""With more labels a support vector machine passes over the counts until it has done that many multiplications."""
CHARACTERS, MAX_CHARACTERS = (2, 5), 200_000
"""Shortest and longest character n-gram, and the most of them."""
Reads = Literal["labels", "words", "characters"]


@dataclass(frozen=True)
class Counts:
    """How often each term occurs in the texts learned from and in the test texts, [texts, terms] both."""

    known: csr_array
    test: csr_array


@dataclass(frozen=True)
class Baseline:
    """A classifier: its title, the counts that it reads, and a function of them and of the class ids learned from."""

    title: str
    reads: Reads
    classify: Callable[[Counts, Ints], Ints]

    def predict(self, counts: Counts, labels: Ints) -> Ints:
        """The class ids of the test texts; the majority class if there is nothing else to go by."""
        if len(np.unique(labels)) < 2 or not counts.known.shape[1]:
            return majority(counts, labels)
        return self.classify(counts, labels)


def count_words(texts: Iterable[str], is_test: NDArray[np.bool_]) -> Counts:
    """Counts of words, the columns in alphabetical order; `is_test` [texts] says which texts are not learned from."""
    counts, words = ngrams.count(ngrams.WORD.findall(text.lower()) for text in texts)
    known = counts[np.flatnonzero(~is_test)]
    kept = np.flatnonzero(ngrams.document_frequencies(known) >= MIN_DF).tolist()
    kept.sort(key=words.__getitem__)
    return Counts(*(_columns(some, kept) for some in (known, counts[np.flatnonzero(is_test)])))


def _columns(counts: csr_array, kept: list[int]) -> csr_array:
    chosen = csr_array(counts[:, kept], dtype=np.float64)
    chosen.sort_indices()
    return chosen


def count_characters(known: Iterable[str], test: Iterable[str]) -> Counts:
    """Counts of character n-grams inside words, the most frequent ones."""
    vectorizer = CountVectorizer(
        analyzer="char_wb", ngram_range=CHARACTERS, min_df=MIN_DF, max_features=MAX_CHARACTERS, dtype=np.float32
    )
    try:
        learned = vectorizer.fit_transform(known)
    except ValueError:  # what scikit-learn raises for an empty vocabulary
        return no_counts(1, sum(1 for _ in test))
    return Counts(csr_array(learned), csr_array(vectorizer.transform(test)))


def no_counts(known: int, test: int) -> Counts:
    """Of so many texts, without terms."""
    return Counts(csr_array((known, 0)), csr_array((test, 0)))


def majority(counts: Counts, labels: Ints) -> Ints:
    """The most frequent class of the texts learned from, for every text; ties go to the first."""
    return np.full(counts.test.shape[0], np.bincount(labels).argmax(), np.int64)


def linear_svm(
    counts: Counts, labels: Ints, strength: float = 1.0, class_weight: Literal["balanced"] | None = None
) -> Ints:
    """Linear support vector machine (`strength` is its C), one-vs-rest, on sublinear TF-IDF.

    It converges, unless there are more than `MANY_LABELS`, for each of which it would take a second.
    """
    weighting = TfidfTransformer(sublinear_tf=True)
    svm = LinearSVC(C=strength, class_weight=class_weight, random_state=0)
    classes = len(np.unique(labels))
    if classes > MANY_LABELS:
        svm.set_params(max_iter=int(np.clip(WORK / (counts.known.nnz * classes), 2, svm.max_iter)))
    with warnings.catch_warnings():
        if classes > MANY_LABELS:
            warnings.simplefilter("ignore", ConvergenceWarning)
        svm.fit(weighting.fit_transform(counts.known), labels)
    return _class_ids(svm.predict(weighting.transform(counts.test)))


def naive_bayes(counts: Counts, labels: Ints) -> Ints:
    """Multinomial naive Bayes, additive smoothing 0.05."""
    return _class_ids(MultinomialNB(alpha=0.05).fit(counts.known, labels).predict(counts.test))


def _class_ids(predicted: Any) -> Ints:
    return np.asarray(predicted, np.int64)


BASELINES: Mapping[str, Baseline] = {
    "majority": Baseline("Majority class", "labels", majority),
    "tfidf_svm": Baseline("TF-IDF words + linear SVM", "words", linear_svm),
    "tfidf_svm_balanced": Baseline(
        "TF-IDF words + balanced SVM", "words", partial(linear_svm, class_weight="balanced")
    ),
    "tfidf_char_svm": Baseline("TF-IDF characters 2–5 + linear SVM", "characters", partial(linear_svm, strength=10.0)),
    "naive_bayes": Baseline("Naive Bayes of words", "words", naive_bayes),
}
