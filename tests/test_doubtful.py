"""Labels worth a second look: the published rule, and labels that were flipped on purpose."""

from __future__ import annotations

import numpy as np
from training_texts import texts

from benchmarks.doubtful import measure
from tasks.evaluation.findings.doubtful import Doubtful, find_doubtful

NAMES = ("a", "b", "c")


def rule(shares: list[list[float]], labels: list[int]) -> list[Doubtful]:
    with np.errstate(divide="ignore"):
        scores = np.log(np.array(shares, np.float32))
    return find_doubtful(scores, np.array(labels), [str(number) for number in range(len(labels))], NAMES)


def test_a_label_is_suggested_from_the_mean_of_its_own_texts_on() -> None:
    # thresholds: a (0.9 + 0.1 + 0.5) / 3 = 0.5, b (0.6 + 0.8) / 2 = 0.7
    shares = [[0.9, 0.1, 0.0], [0.1, 0.75, 0.15], [0.5, 0.5, 0.0], [0.4, 0.6, 0.0], [0.1, 0.8, 0.1]]
    (found,) = rule(shares, [0, 0, 0, 1, 1])
    assert (found.doc_id, found.label, found.suggested) == ("1", "a", "b")
    np.testing.assert_allclose([found.label_probability, found.suggested_probability], [0.1, 0.75], rtol=1e-6)


def test_a_label_that_nobody_was_given_is_never_suggested() -> None:
    assert rule([[0.1, 0.0, 0.9], [0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], [0, 0, 1]) == []


def test_the_likeliest_mistakes_come_first() -> None:
    shares = [[0.9, 0.1, 0.0]] * 9 + [[0.1, 0.9, 0.0]] * 9 + [[0.05, 0.95, 0.0], [0.01, 0.99, 0.0]]
    assert [each.doc_id for each in rule(shares, [0] * 9 + [1] * 9 + [0, 0])] == ["19", "18"]


def test_labels_that_were_flipped_on_purpose_are_found() -> None:
    """A tenth of 300 labels is flipped; measured: precision 0.92, recall 0.80."""
    written, labels = texts(100)
    found = measure(written, labels, list(NAMES), share=0.1, seed=0)
    assert found["flipped"] == 30
    assert found["precision"] > 0.85
    assert found["recall"] > 0.75
    assert found["true_label_suggested"] > 0.9
