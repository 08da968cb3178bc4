"""Why a text gets its label: the amounts add up, stand at the right words, and can be read."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_members import CPU, OPTIONS, SEPARATE, fit_linear, fit_rnn
from training_texts import texts

from tasks.linear.member import COUNTERS, LinearMember, weigh
from tasks.prediction.explained import explanation_as_json, explanation_lines
from tasks.shared.member import lower_with_positions
from tasks.splitting.labelled import deal_folds
from tasks.stacking.explanation import Explanation, explain, mark
from tasks.stacking.stacked import StackedClassifier
from tasks.training.input.vocabulary import WordVocabulary
from tasks.training.loop.cross_fit import EvidenceOptions, Workplace, cross_fit
from tasks.training.loop.recipe import Recipe
from tasks.training.models.member import RnnMember

NAMES = ("one", "two", "three")
HOSTILE = [
    "wa wb wa, 'wc'  WB.\n\nwd",
    "İstanbul wa ẞ WA wb",
    "zzz unknown words",
    "wa",
    "½ — 日本語 wa\u0301",
    " ".join(texts(4)[0]),
]


@pytest.fixture(scope="module")
def linear() -> dict[str, LinearMember]:
    written, labels = texts(20)
    folds = deal_folds(labels, SEPARATE[:60], 5)
    return {kind: member for kind, member, _ in fit_linear(written, labels, 3, folds)}


@pytest.fixture(scope="module")
def rnn() -> RnnMember:
    written, labels = texts(20)
    folds = deal_folds(labels, SEPARATE[:60], 5)
    recipe = Recipe(epochs=2, embedding_size=4, hidden_size=4, window=16)
    return fit_rnn(written, labels, 3, folds, recipe)[0]


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_linear_members_amounts_are_its_logit_difference(
    linear: dict[str, LinearMember], kind: str, text: str
) -> None:
    member = linear[kind]
    counts, _ = COUNTERS[kind]([text], {term: column for column, term in enumerate(member.terms)})
    features = weigh(member.kind, counts, member.idf).toarray()[0].astype(np.float64)
    logits = (features @ member.weights.astype(np.float64) + member.bias) * member.scale
    evidence = member.explain(text, 2, 0)
    total = sum(occurrence.amount for occurrence in evidence.occurrences) + evidence.rest
    assert total == pytest.approx(logits[2] - logits[0], abs=1e-12)
    (scores,) = member.log_probabilities([text])
    assert total == pytest.approx(scores[2] - scores[0], abs=1e-5)


@pytest.mark.parametrize("text", HOSTILE)
def test_every_occurrence_stands_at_its_term(linear: dict[str, LinearMember], rnn: RnnMember, text: str) -> None:
    for member in (*linear.values(), rnn):
        for start, end, term, _ in member.explain(text, 0, 1).occurrences:
            found = text[start:end].lower()
            assert found.split() == term.split() or all(word in found for word in term.split())
            assert found == found.strip() or term.startswith("\n") or term.endswith("\n")


def test_a_terms_amount_is_weight_times_feature(linear: dict[str, LinearMember]) -> None:
    member = linear["words"]
    column = list(member.terms).index("wa")
    evidence = member.explain("wa zz wa", 1, 0)
    assert [(some.start, some.end, some.term) for some in evidence.occurrences] == [(0, 2, "wa"), (6, 8, "wa")]
    expected = member.scale * float(member.weights[column, 1] - member.weights[column, 0])
    assert sum(some.amount for some in evidence.occurrences) == pytest.approx(expected)  # the only feature: length one


def test_character_ngrams_are_credited_to_the_words_that_they_lie_in(linear: dict[str, LinearMember]) -> None:
    found = linear["characters"].explain('"wa," (wb)', 1, 0).occurrences
    assert [(some.start, some.end, some.term) for some in found] == [(1, 3, "wa"), (7, 9, "wb")]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_rnns_amounts_and_its_linear_layer_are_its_logit_difference(rnn: RnnMember, text: str) -> None:
    (scores,) = rnn.log_probabilities([text])
    evidence = rnn.explain(text, 0, 2)
    total = sum(occurrence.amount for occurrence in evidence.occurrences) + evidence.rest
    assert total == pytest.approx(float(scores[0]) - float(scores[2]), abs=1e-4)
    assert any(occurrence.amount for occurrence in evidence.occurrences) or text.startswith("zzz")


def test_without_its_linear_layer_all_of_the_rnn_is_divided(rnn: RnnMember) -> None:
    bare = deepcopy(rnn)
    for network in bare.networks:
        torch.nn.init.zeros_(network.output.weight)
        torch.nn.init.zeros_(network.output.bias)
    assert bare.explain(HOSTILE[0], 0, 2).rest == pytest.approx(0, abs=1e-5)
    assert abs(rnn.explain(HOSTILE[0], 0, 2).rest) > 1e-3


def test_projected_evidence_is_divided_too() -> None:
    written, _ = texts(3, 4)
    labels = np.arange(12)
    words, folds = WordVocabulary.learn(written, 100), deal_folds(labels, SEPARATE[:12], 5)
    options = EvidenceOptions(dimensions=5)
    member = cross_fit(
        Recipe(epochs=1), 10, options, words, words.encode(written), labels, 12, folds, Workplace(CPU)
    ).member
    (scores,) = member.log_probabilities(written[:1])
    evidence = member.explain(written[0], 3, 7)
    total = sum(occurrence.amount for occurrence in evidence.occurrences) + evidence.rest
    assert total == pytest.approx(float(scores[3]) - float(scores[7]), abs=1e-4)


def test_an_rnn_that_reads_embeddings_divides_nothing(rnn: RnnMember) -> None:
    written, labels = texts(5)
    words, folds = WordVocabulary.learn(written, 100), deal_folds(labels, SEPARATE[:15], 5)
    member = cross_fit(
        Recipe(epochs=1), 10, None, words, words.encode(written), labels, 3, folds, Workplace(CPU)
    ).member
    evidence = member.explain(written[0], 0, 1)
    (scores,) = member.log_probabilities(written[:1])
    assert evidence.occurrences == []
    assert evidence.rest == pytest.approx(float(scores[0]) - float(scores[1]))


@pytest.mark.parametrize("text", HOSTILE)
def test_the_stacks_terms_and_rest_add_up_to_its_log_odds(
    linear: dict[str, LinearMember], rnn: RnnMember, text: str
) -> None:
    classifier = StackedClassifier(
        {**linear, "rnn": rnn}, {"words": 0.5, "characters": 0.3, "counts": 0.2, "rnn": 0.7}, NAMES
    )
    explanation = classifier.explain(text, 1, 0)
    (scores,) = classifier.log_probabilities([text])
    assert explanation.log_odds == pytest.approx(float(scores[1]) - float(scores[0]), abs=1e-4)
    assert (explanation.label, explanation.other) == ("two", "one")
    assert sum(term.share for term in explanation.terms) <= 1 + 1e-9
    amounts = [abs(term.amount) for term in explanation.terms]
    assert amounts == sorted(amounts, reverse=True)
    pieces = mark(explanation, len(text))
    assert "".join(piece for piece, _ in pieces) == text
    assert sum(amount for _, amount in pieces) == pytest.approx(sum(term.amount for term in explanation.terms))


def test_marks_end_where_the_excerpt_ends(linear: dict[str, LinearMember]) -> None:
    explanation = explain(linear, {"words": 1.0, "characters": 1.0, "counts": 1.0}, NAMES, "wa wb wc", 0, 1)
    assert "".join(piece for piece, _ in mark(explanation, 4)) == "wa w"
    assert [piece for piece, amount in mark(explanation, 4) if amount] == ["wa"]


def test_lower_case_that_is_longer_keeps_positions() -> None:
    lowered, positions = lower_with_positions("aİb")
    assert len(lowered) == len(positions) == 4
    assert [positions[lowered.index(sign)] for sign in "ab"] == [0, 2]


def explanation_of(linear: dict[str, LinearMember], text: str) -> Explanation:
    return explain(linear, {"words": 1.0, "characters": 1.0, "counts": 1.0}, NAMES, text, 0, 1)


def test_what_is_not_shown_is_counted_and_summed(linear: dict[str, LinearMember]) -> None:
    explanation = explanation_of(linear, HOSTILE[-1])
    shown = explanation_as_json(explanation, 3)
    assert len(shown["terms"]) == 3
    assert shown["other_terms"]["terms"] == len(explanation.terms) - 3
    total = sum(term["amount"] for term in shown["terms"]) + shown["other_terms"]["amount"]
    assert total + sum(shown["not_divided"].values()) == pytest.approx(shown["log_odds"])
    lines = explanation_lines(shown)
    assert len(lines) == 1 + 3 + 1 + 1
    assert lines[0].startswith("  why one and not two: log-odds ")
    assert max(line.count("█") for line in lines) == 24
    assert "other words and pairs together" in lines[-2]


def test_a_text_of_unknown_words_has_a_rest_alone(linear: dict[str, LinearMember]) -> None:
    explanation = explanation_of(linear, "777")
    assert explanation.terms == []
    assert explanation_lines(explanation_as_json(explanation))[-1].strip().endswith(")")
    assert mark(replace(explanation, text="—\n"), 2) == [("—", 0.0), ("\n", 0.0)]
