"""Simple text classifiers to compare the model with, trained on the training and validation texts.

They have no hyperparameters to select, so they learn from the validation texts too.

Words are sequences of two or more letters or digits, lower-cased, in two or more training texts. If the texts share no
such word, the word classifiers predict the majority class; the character classifier likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from tasks.shared.statistics.metrics import Ints

Predict = Callable[[Sequence[str], Ints, Sequence[str]], Ints]
"""Training texts, their class ids, test texts → predicted class ids of the test texts."""


@dataclass(frozen=True)
class Baseline:
    """A classifier and its title."""

    title: str
    predict: Predict


def majority(train_texts: Sequence[str], train_labels: Ints, test_texts: Sequence[str]) -> Ints:
    """The most frequent class of the training texts, for every text; ties go to the first."""
    return np.full(len(test_texts), np.bincount(train_labels).argmax(), np.int64)


def linear_svm(
    train_texts: Sequence[str],
    train_labels: Ints,
    test_texts: Sequence[str],
    class_weight: Literal["balanced"] | None = None,
) -> Ints:
    """Linear support vector machine (C = 1, one-vs-rest) on sublinear TF-IDF of words."""
    return _classify_counted(
        TfidfVectorizer(sublinear_tf=True, min_df=2),
        LinearSVC(C=1.0, class_weight=class_weight, random_state=0),
        train_texts,
        train_labels,
        test_texts,
    )


def character_svm(train_texts: Sequence[str], train_labels: Ints, test_texts: Sequence[str]) -> Ints:
    """Linear support vector machine (C = 10) on sublinear TF-IDF of character 2- to 5-grams inside words.

    Ten times slower than words.
    """
    return _classify_counted(
        TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2, max_features=200_000, dtype=np.float32
        ),
        LinearSVC(C=10.0, random_state=0),
        train_texts,
        train_labels,
        test_texts,
    )


def naive_bayes(train_texts: Sequence[str], train_labels: Ints, test_texts: Sequence[str]) -> Ints:
    """Multinomial naive Bayes on counts of words, additive smoothing 0.05."""
    return _classify_counted(
        CountVectorizer(min_df=2), MultinomialNB(alpha=0.05), train_texts, train_labels, test_texts
    )


def _classify_counted(
    vectorizer: Any, classifier: Any, train_texts: Sequence[str], train_labels: Ints, test_texts: Sequence[str]
) -> Ints:
    if len(np.unique(train_labels)) < 2:
        return majority(train_texts, train_labels, test_texts)
    try:
        features = vectorizer.fit_transform(train_texts)
    except ValueError:  # what scikit-learn raises for an empty vocabulary
        return majority(train_texts, train_labels, test_texts)
    classifier.fit(features, train_labels)
    return np.asarray(classifier.predict(vectorizer.transform(test_texts)), np.int64)


BASELINES: Mapping[str, Baseline] = {
    "majority": Baseline("Majority class", majority),
    "tfidf_svm": Baseline("TF-IDF words + linear SVM", linear_svm),
    "tfidf_svm_balanced": Baseline("TF-IDF words + balanced SVM", partial(linear_svm, class_weight="balanced")),
    "tfidf_char_svm": Baseline("TF-IDF characters 2–5 + linear SVM", character_svm),
    "naive_bayes": Baseline("Naive Bayes of words", naive_bayes),
}
