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
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from tasks.linear import ngrams
from tasks.shared.batched import batched
from tasks.shared.statistics.metrics import Ints

MIN_DF = 2
BLOCK = 8192
"""Test texts whose counts are in memory at a time."""
MANY_LABELS, WORK = 100, 2**33
"""With more labels a support vector machine passes over the counts until it has done that many multiplications."""
CHARACTERS, MAX_CHARACTERS = (2, 5), 200_000
"""Shortest and longest character n-gram, and the most of them."""
Reads = Literal["labels", "words", "characters"]


@dataclass(frozen=True)
class Counts:
    """How often each term occurs in the texts learned from, [texts, terms], and in the test texts."""

    known: csr_array
    test: Iterable[csr_array]
    """[texts of a block, terms]; they are read once."""


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


def count_words(known: Iterable[str], test: Iterable[str]) -> Counts:
    """Counts of words, the columns in alphabetical order."""
    counts, words = ngrams.count(map(_words, known))
    kept = np.flatnonzero(ngrams.document_frequencies(counts) >= MIN_DF).tolist()
    kept.sort(key=words.__getitem__)
    columns = {words[number]: column for column, number in enumerate(kept)}
    blocks = (ngrams.count(map(_words, block), columns)[0] for block in batched(test, BLOCK))
    return Counts(_floats(csr_array(counts[:, kept])), map(_floats, blocks))


def _words(text: str) -> list[str]:
    return ngrams.WORD.findall(text.lower())


def _floats(counts: csr_array) -> csr_array:
    counts = csr_array(counts, dtype=np.float64)
    counts.sort_indices()
    return counts


def count_characters(known: Iterable[str], test: Iterable[str]) -> Counts:
    """Counts of character n-grams inside words, the most frequent ones."""
    vectorizer = CountVectorizer(
        analyzer="char_wb", ngram_range=CHARACTERS, min_df=MIN_DF, max_features=MAX_CHARACTERS, dtype=np.float32
    )
    try:
        learned = vectorizer.fit_transform(known)
    except ValueError:  # what scikit-learn raises for an empty vocabulary
        return no_counts(1, sum(1 for _ in test))
    return Counts(csr_array(learned), (csr_array(vectorizer.transform(block)) for block in batched(test, BLOCK)))


def no_counts(known: int, test: int) -> Counts:
    """Of so many texts, without terms."""
    return Counts(csr_array((known, 0)), [csr_array((test, 0))])


def majority(counts: Counts, labels: Ints) -> Ints:
    """The most frequent class of the texts learned from, for every text; ties go to the first."""
    return np.full(sum(block.shape[0] for block in counts.test), np.bincount(labels).argmax(), np.int64)


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
    return _class_ids(svm.predict(weighting.transform(block)) for block in counts.test)


def naive_bayes(counts: Counts, labels: Ints) -> Ints:
    """Multinomial naive Bayes, additive smoothing 0.05."""
    bayes = MultinomialNB(alpha=0.05).fit(counts.known, labels)
    return _class_ids(map(bayes.predict, counts.test))


def _class_ids(predicted: Iterable[Any]) -> Ints:
    """Those of all blocks."""
    return np.concatenate([np.asarray(block, np.int64) for block in predicted])


BASELINES: Mapping[str, Baseline] = {
    "majority": Baseline("Majority class", "labels", majority),
    "tfidf_svm": Baseline("TF-IDF words + linear SVM", "words", linear_svm),
    "tfidf_svm_balanced": Baseline(
        "TF-IDF words + balanced SVM", "words", partial(linear_svm, class_weight="balanced")
    ),
    "tfidf_char_svm": Baseline("TF-IDF characters 2–5 + linear SVM", "characters", partial(linear_svm, strength=10.0)),
    "naive_bayes": Baseline("Naive Bayes of words", "words", naive_bayes),
}
