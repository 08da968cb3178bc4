"""Measures, intervals and baselines of the evaluation."""

from __future__ import annotations

import time
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import softmax
from sklearn import metrics as sk

from tasks.evaluation.calibration import brier_scores, log_losses, reliability
from tasks.evaluation.predicting.baselines import BASELINES, count_characters, count_words, no_counts
from tasks.evaluation.results import Predictions, Resampling
from tasks.evaluation.scores import ResampledScores, compare, evaluate
from tasks.evaluation.settings import BaselineName, EvaluationSettings
from tasks.shared.statistics import metrics
from tasks.shared.statistics.bootstrap import bootstrap, interval, mcnemar, resamples

CLASSES = 4
RESAMPLING = Resampling(samples=200, confidence=0.95, seed=0)
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)


def split(rows: list[tuple[int, int]]) -> tuple[metrics.Ints, metrics.Ints]:
    labels, predicted = np.array(rows, np.int64).T
    return labels, predicted


def random_predictions(documents: int, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, documents)
    scores = rng.normal(size=(documents, CLASSES))
    scores[np.arange(documents), labels] += 1
    return Predictions([f"d{i:03d}" for i in range(documents)], labels, softmax(scores, axis=-1))


@given(pairs)
def test_scores_agree_with_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, predicted = split(rows)
    confusion = metrics.confusion_matrix(labels, predicted, CLASSES)
    known = range(CLASSES)
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(labels, predicted, labels=known))
    assert metrics.accuracy(confusion) == pytest.approx(sk.accuracy_score(labels, predicted))
    assert metrics.macro_f1(confusion) == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    scores = metrics.label_scores(confusion)
    expected = sk.precision_recall_fscore_support(labels, predicted, labels=known, zero_division=0)
    for found, wanted in zip((scores.precision, scores.recall, scores.f1, scores.support), expected, strict=True):
        np.testing.assert_allclose(found, wanted)


@given(pairs, st.permutations(range(CLASSES)))
def test_renaming_the_labels_changes_no_score(rows: list[tuple[int, int]], order: list[int]) -> None:
    labels, predicted = split(rows)
    names = np.array(order)
    before = metrics.confusion_matrix(labels, predicted, CLASSES)
    after = metrics.confusion_matrix(names[labels], names[predicted], CLASSES)
    assert metrics.accuracy(before) == metrics.accuracy(after)
    assert metrics.macro_f1(before) == pytest.approx(metrics.macro_f1(after))
    np.testing.assert_allclose(metrics.label_scores(before).f1, metrics.label_scores(after).f1[names])


@given(pairs)
def test_perfect_predictions_score_one_though_labels_are_absent(rows: list[tuple[int, int]]) -> None:
    labels, _ = split(rows)
    confusion = metrics.confusion_matrix(labels, labels, CLASSES)
    assert metrics.accuracy(confusion) == 1
    assert metrics.macro_f1(confusion) == 1
    found = ResampledScores.of(labels, labels, CLASSES, RESAMPLING).scores(RESAMPLING)
    assert (found.macro_f1.low, found.macro_f1.high) == (1, 1)


def test_measures_are_those_of_the_confusion_matrix() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 5, (2, 3, 40))
    labels[0] = predicted[0] = 1
    matrix = metrics.confusion_matrix(labels, predicted, 7)
    found = metrics.measures(labels, predicted, 7)
    np.testing.assert_array_equal(found[:, 0], metrics.accuracy(matrix))
    np.testing.assert_array_equal(found[:, 1], metrics.macro_f1(matrix))
    f1 = np.where(metrics.occurring(matrix), metrics.label_scores(matrix).f1, np.nan)
    np.testing.assert_array_equal(found[:, 2:], f1)


def test_with_thousands_of_labels_resamples_take_no_confusion_matrices() -> None:
    labels = np.arange(4_000).reshape(1, -1) % 2_000
    began = time.process_time()
    for _ in range(200):
        metrics.measures(labels, labels[:, ::-1], 2_000)
    assert time.process_time() - began < 2  # matrices: 4 seconds or more


def test_resamples_are_measured_as_documents_are() -> None:
    labels, predicted = np.random.default_rng(0).integers(0, CLASSES, (2, 5, 30))
    together = metrics.confusion_matrix(labels, predicted, CLASSES)
    one_by_one = [metrics.confusion_matrix(y, p, CLASSES) for y, p in zip(labels, predicted, strict=True)]
    np.testing.assert_array_equal(together, one_by_one)


def test_calibration_measures_agree_with_scikit_learn() -> None:
    test = random_predictions(60)
    known = list(range(CLASSES))
    loss, brier = log_losses(test.labels, test.probabilities), brier_scores(test.labels, test.probabilities)
    assert loss.mean() == pytest.approx(sk.log_loss(test.labels, test.probabilities, labels=known))
    assert brier.mean() == pytest.approx(sk.brier_score_loss(test.labels, test.probabilities, labels=known))


def test_a_mistake_with_probability_one_has_a_finite_loss() -> None:
    loss = log_losses(np.array([1]), np.array([[1.0, 0.0]]))
    assert 36 < loss[0] < 37


def test_reliability_table_of_a_case_worked_by_hand() -> None:
    confidence, right = np.array([0.55, 0.6, 0.9, 1.0]), np.array([0.0, 1.0, 1.0, 1.0])
    table = reliability(confidence, right, bins=5)
    assert table.documents.tolist() == [0, 0, 2, 0, 2]
    np.testing.assert_allclose(table.confidence[[2, 4]], [0.575, 0.95])
    np.testing.assert_allclose(table.accuracy[[2, 4]], [0.5, 1.0])
    assert table.error == pytest.approx(0.5 * 0.075 + 0.5 * 0.05)


def test_resamples_do_not_depend_on_the_number_drawn_at_a_time() -> None:
    whole = np.concatenate(list(resamples(17, 50, 3, rows=50)))
    np.testing.assert_array_equal(whole, np.concatenate(list(resamples(17, 50, 3, rows=7))))
    assert whole.shape == (50, 17)
    assert set(whole.ravel()) == set(range(17))


def test_intervals_cover_the_true_accuracy_at_their_confidence_level() -> None:
    rng, truth, covered = np.random.default_rng(1), 0.7, 0
    for trial in range(300):
        right = (rng.random(60) < truth).astype(np.float64)
        values = bootstrap(lambda drawn, right=right: right[drawn].mean(-1), 60, 200, trial)
        low, high = interval(values, float(right.mean()), 0.9)
        covered += low <= truth <= high
    assert 0.84 < covered / 300 < 0.95


def test_interval_is_shifted_against_the_bias_of_resampling() -> None:
    values = np.random.default_rng(0).normal(0.4, 0.05, 4000)
    low, high = interval(values, 0.43, 0.95)
    assert high > 0.5
    assert np.quantile(values, 0.025) < low < 0.43


def test_interval_ignores_resamples_without_the_measure() -> None:
    assert interval(np.array([np.nan, 0.5, np.nan]), 0.5, 0.95) == (0.5, 0.5)
    assert interval(np.full(3, np.nan), 0.2, 0.95) == (0.2, 0.2)


@pytest.mark.parametrize(("first", "second", "p"), [(0, 0, 1), (3, 3, 1), (0, 5, 2 / 2**5), (1, 9, 22 / 2**10)])
def test_mcnemar_is_the_exact_two_sided_test(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_a_classifier_does_not_differ_from_itself() -> None:
    test = random_predictions(40)
    model = ResampledScores.of(test.labels, test.predicted, CLASSES, RESAMPLING)
    found = compare(model, model, RESAMPLING)
    assert (found.accuracy_lead.low, found.accuracy_lead.high) == (0, 0)
    assert (found.only_model_right, found.only_baseline_right, found.mcnemar_p) == (0, 0, 1)


def test_evaluation_pairs_model_and_baseline_on_the_same_documents() -> None:
    test = random_predictions(80)
    worse = np.where(np.arange(80) < 20, (test.labels + 1) % CLASSES, test.predicted)
    known = np.arange(CLASSES)
    found = evaluate(test, {"worse": worse}, known, tuple("abcd"), RESAMPLING, bins=10).baselines["worse"]
    right = test.predicted == test.labels
    assert found.only_model_right == right[:20].sum()
    assert found.only_baseline_right == 0
    assert found.accuracy_lead.value == pytest.approx(right[:20].sum() / 80)
    assert found.accuracy_lead.low > 0


def test_more_documents_narrow_the_interval() -> None:
    few, many = random_predictions(40), random_predictions(1000)
    widths = []
    for test in (few, many):
        found = ResampledScores.of(test.labels, test.predicted, CLASSES, RESAMPLING).scores(RESAMPLING).accuracy
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 3


def classified(name: str, texts: list[str], labels: np.ndarray, unseen: list[str]) -> np.ndarray:
    counts = {
        "labels": lambda: no_counts(len(texts), len(unseen)),
        "words": lambda: count_words(texts, unseen),
        "characters": lambda: count_characters(texts, unseen),
    }
    return BASELINES[name].predict(counts[BASELINES[name].reads](), labels)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_answer_for_every_text_and_the_same_each_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["red red apple", "red apple pie", "blue sea wave", "blue wave", "red wine", "blue sky sea"]
    labels = np.array([2, 2, 0, 0, 2, 0])
    unseen = ["an apple, red", "the blue sea", ""]
    found = classified(name, texts, labels, unseen)
    assert found.dtype == np.int64
    assert set(found) <= {0, 2}
    monkeypatch.setattr("tasks.evaluation.predicting.baselines.BLOCK", 2)
    np.testing.assert_array_equal(found, classified(name, texts, labels, unseen))
    if name != "majority":
        assert found[:2].tolist() == [2, 0]


@pytest.mark.parametrize("name", sorted(BASELINES.keys() - {"tfidf_char_svm"}))  # "…" is a character, but no word
@pytest.mark.parametrize(
    ("texts", "labels"),
    [(["alpha", "beta", "gamma"], [1, 1, 0]), (["…", "…", "!"], [1, 1, 0]), (["same words", "same words"], [1, 1])],
)
def test_texts_without_shared_words_get_the_majority_class(name: str, texts: list[str], labels: list[int]) -> None:
    assert classified(name, texts, np.array(labels), ["other", "words"]).tolist() == [1, 1]


def test_settings_name_the_baselines_that_exist() -> None:
    assert set(get_args(BaselineName)) == set(BASELINES)
    assert set(EvaluationSettings().baselines) == set(BASELINES) - {"tfidf_char_svm"}  # slow, for cross-validation


@pytest.mark.parametrize("names", [["tfidf_svm"], ["majority", "majority"], [], ["majority", "bert"]])
def test_settings_refuse_invalid_baselines(names: list[str]) -> None:
    with pytest.raises(ValidationError, match="baselines"):
        EvaluationSettings.model_validate({"baselines": names})
