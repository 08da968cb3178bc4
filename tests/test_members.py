"""Every member on tiny and hostile corpora: finite and normalized, saved and loaded, honest out of fold."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from scipy.sparse import vstack
from sklearn.feature_extraction.text import TfidfVectorizer
from training_texts import labelled, texts

from tasks.linear import counting, ngrams
from tasks.linear.cross_fit import cross_fit as cross_fit_linear
from tasks.linear.fit import Options, choices, document_counts, fit_svm, label_evidence, make_features
from tasks.linear.logistic import fit_logistic, term_scales
from tasks.linear.member import COUNTERS, Choice, LinearMember
from tasks.linear.schema import Kind
from tasks.shared.errors import ArtifactError
from tasks.shared.member import Member
from tasks.shared.statistics.log_probabilities import Scores
from tasks.splitting.labelled import deal_folds
from tasks.stacking.weights import fit_stack
from tasks.training.input import counting as token_counting
from tasks.training.input.evidence import Evidence, learn_evidence, learn_pairs
from tasks.training.input.vocabulary import WordVocabulary, split_words
from tasks.training.loop.cross_fit import EvidenceOptions, Workplace, cross_fit
from tasks.training.loop.recipe import Recipe
from tasks.training.models.member import RnnMember

OPTIONS = {
    kind: Options(kind, min_df, 10_000, (0.3, 1.0, 3.0))
    for kind, min_df in (("words", 2), ("characters", 3), ("counts", 2))
}
CPU = torch.device("cpu")
SEPARATE = [str(number) for number in range(1000)]


def fit_rnn(
    written: list[str], labels: np.ndarray, count: int, folds: np.ndarray, recipe: Recipe | None = None
) -> tuple[RnnMember, Scores]:
    words = WordVocabulary.learn(written, 1000)
    recipe = recipe or Recipe(epochs=1, embedding_size=4, hidden_size=4)
    fitted = cross_fit(
        recipe, 10, EvidenceOptions(), words, words.encode(written), labels, count, folds, Workplace(CPU)
    )
    return fitted.member, fitted.scores


def fit_linear(
    written: list[str], labels: np.ndarray, count: int, folds: np.ndarray
) -> list[tuple[str, LinearMember, Scores]]:
    with TemporaryDirectory() as scratch:
        return list(
            cross_fit_linear(
                OPTIONS, lambda positions: [written[n] for n in positions], labels, count, folds, Path(scratch)
            )
        )


def fit_all(written: list[str], labels: np.ndarray, count: int) -> dict[str, tuple[Member, Scores]]:
    folds = deal_folds(labels, SEPARATE[: len(labels)], 5)
    members: dict[str, tuple[Member, Scores]] = {
        kind: (member, scores) for kind, member, scores in fit_linear(written, labels, count, folds)
    }
    return members | {"rnn": fit_rnn(written, labels, count, folds)}


def one_text_of_the_last_label() -> tuple[list[str], np.ndarray, int]:
    written, labels = texts()
    labels[0] = 3
    return written, labels, 4


HOSTILE = {
    "a label with one text": one_text_of_the_last_label(),
    "one text a label": (*texts(1, 12), 12),
    "one word a text": ([f"a{number % 3}" for number in range(30)], np.arange(30) % 3, 3),
    "no word in two texts": ([f"word{number}" for number in range(30)], np.arange(30) % 3, 3),
    "no tokens": ([""] * 30, np.arange(30) % 3, 3),
    "two labels with the same texts": (["one two three"] * 20, np.arange(20) % 2, 2),
    "two texts": (["one two", "two three"], np.arange(2), 2),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_corpora_give_finite_normalized_predictions(kind: str) -> None:
    written, labels, count = HOSTILE[kind]
    members = fit_all(written, labels, count)
    for member, scores in members.values():
        for values in (scores, member.log_probabilities([*written, "", "zzz"])):
            assert values.shape[1] == count
            np.testing.assert_allclose(np.exp(values.astype(np.float64)).sum(axis=1), 1, rtol=1e-3)
    stack = fit_stack({name: scores for name, (_, scores) in members.items()}, labels, list(members))
    assert all(np.isfinite(weight) and weight >= 0 for weight in stack.weights.values())


def test_members_learn_and_survive_saving(tmp_path: Path) -> None:
    known = labelled(20)
    for name, (member, scores) in fit_all(list(known.texts), known.labels, 3).items():
        assert name == "rnn" or (scores.argmax(axis=1) == known.labels).mean() > 0.8
        folder = tmp_path / name
        folder.mkdir()
        member.save(folder)
        load = RnnMember.load if name == "rnn" else LinearMember.load
        again = load(folder).log_probabilities(known.texts)
        np.testing.assert_allclose(again, member.log_probabilities(known.texts), atol=0.02)
        assert not list(folder.rglob("*.pkl"))
        next(folder.glob("*.safetensors")).write_bytes(b"no safetensors")
        with pytest.raises(ArtifactError, match="train again"):
            load(folder)


def test_terms_and_weights_are_those_of_scikit_learn() -> None:
    written = ["The cat, sat!", "a Cat sat on  the mat", "x"]
    options = {"words": {"ngram_range": (1, 2)}, "characters": {"analyzer": "char_wb", "ngram_range": (2, 5)}}
    for kind, arguments in options.items():
        vectorizer = TfidfVectorizer(sublinear_tf=True, **arguments)
        expected = vectorizer.fit_transform(written).toarray()
        features = make_features(Options(kind, 1, 10**6, (1.0,)), iter(written), 2)
        assert set(features.terms) == set(vectorizer.vocabulary_)
        columns = [vectorizer.vocabulary_[term] for term in features.terms]
        np.testing.assert_allclose(features.values.toarray(), expected[:, columns], atol=1e-6)


@pytest.mark.parametrize("kind", COUNTERS)
def test_texts_are_counted_block_by_block_as_terms_that_are_known(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "BLOCK", 7)
    monkeypatch.setattr(ngrams, "BLOCK", 5)
    written = [*texts(20, 3)[0], "", "x", "one two one two one", "İstanbul, straße: A a"]
    counted = counting.count_all(kind, iter(written))
    kept = counting.select(counted.frequencies, 2, 40)
    terms = counted.names(kept)
    assert len(terms) == 40
    expected, _ = COUNTERS[kind](written, {term: column for column, term in enumerate(terms)})
    found = vstack(list(counted.blocks(kept)))
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    known = counting.count_known(kind, written, {term: column for column, term in enumerate(terms)})
    np.testing.assert_array_equal(vstack(list(known)).toarray(), expected.toarray())
    every = counted.names(np.arange(len(counted.frequencies)))
    assert every == COUNTERS[kind](written)[1]  # as they first occur
    np.testing.assert_array_equal(counted.frequencies, ngrams.document_frequencies(COUNTERS[kind](written)[0]))


def test_a_term_is_evidence_by_the_texts_that_have_it() -> None:
    counts, terms = ngrams.count([["a", "b"], ["a", "c"], ["c", "b"], ["c", "b"]] * 3)
    found = dict(
        zip(
            terms,
            label_evidence(counts, np.array([True, True, False, False] * 3), document_counts(counts)),
            strict=True,
        )
    )
    assert found["a"] == pytest.approx(np.log(7 / 4) - np.log(1 / 4))  # six texts of six, where three were expected
    assert found["c"] == pytest.approx(np.log(4 / 5.5) - np.log(7 / 5.5))
    assert not label_evidence(counts, np.array([True, True] * 6), document_counts(counts)).any()


def test_for_two_labels_part_of_a_weight_may_be_naive_bayes() -> None:
    written, labels = texts(20, 2)
    forms = {
        (kind, count): {(choice.scaled, choice.svm_share) for choice in choices(OPTIONS[kind], np.arange(count))}
        for kind in ("words", "characters")
        for count in (2, 3)
    }
    assert forms["words", 2] == {(True, 1.0), (True, 0.25)}
    assert forms["characters", 2] == {(False, 1.0)}
    assert forms["words", 3] == forms["characters", 3] == {(True, 1.0)}
    features = make_features(OPTIONS["words"], written, 2)
    weights, _ = fit_svm(features.values, labels, 2, Choice(1, False, True, 0))
    evidence = label_evidence(features.values, labels == 1, document_counts(features.values))
    assert np.corrcoef(weights[:, 1], evidence)[0, 1] == pytest.approx(1)
    np.testing.assert_array_equal(weights[:, 0], -weights[:, 1])


def test_a_term_that_labels_do_not_differ_in_has_no_weight() -> None:
    counts, terms = ngrams.count([["a", "b", "d"], ["a", "c"], ["c", "b", "d"], ["c", "b"]] * 3)
    labels = np.array([0, 0, 1, 1] * 3)
    scales = dict(zip(terms, term_scales(ngrams.root_frequencies(counts), labels), strict=True))
    assert scales["a"] > scales["c"] > 0
    assert not term_scales(ngrams.root_frequencies(counts), np.arange(12) % 2)[terms.index("a")]
    weights, bias = fit_logistic(ngrams.root_frequencies(counts), labels, 3, Choice(5, True))
    assert (weights[terms.index("a"), 0] > 0) and not weights[:, 2].any()
    assert bias[2] < bias[:2].min()


def test_root_frequencies_are_of_texts_thirty_terms_longer() -> None:
    counts, terms = ngrams.count([["a", "a", "b"], []])
    expected = {"a": np.sqrt(2 / 33), "b": np.sqrt(1 / 33)}
    found = ngrams.root_frequencies(counts).toarray()
    np.testing.assert_allclose(found, [[expected[term] for term in terms], [0, 0]], rtol=1e-6)
    assert ngrams.words_and_signs("It's 42\n\n\nNaïve_x?") == split_words("It's 42\n\n\nNaïve_x?")


def evidence_of(labels: np.ndarray, folds: np.ndarray, written: list[str]) -> Evidence:
    words = WordVocabulary.learn(written, 1000)
    ids = words.encode(written)
    return learn_evidence(ids, learn_pairs(ids, words.size, 1000), labels, 2, folds, 0.5, 64)


def test_a_networks_tables_depend_on_no_label_that_it_predicts_or_reads() -> None:
    written, labels = texts(25, 2)
    folds = deal_folds(labels, SEPARATE[:50], 5)
    other = np.where(folds == 2, 0, labels)
    first, second = (evidence_of(some, folds, written) for some in (labels, other))
    assert (first.for_network(2).tokens == second.for_network(2).tokens).all()
    assert (first.for_network(2).pairs == second.for_network(2).pairs).all()
    assert (first.for_network(1).tokens[2] == second.for_network(1).tokens[2]).all()
    assert (first.for_network(1).tokens[0] != second.for_network(1).tokens[0]).any()
    assert (first.for_new_texts().tokens != second.for_new_texts().tokens).any()


def test_frequencies_do_not_depend_on_how_many_texts_are_counted_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    written, labels = texts(9, 3)
    folds = np.where(labels == 0, 2, np.arange(27) % 2 * 3)  # none has fold 1
    words = WordVocabulary.learn(written, 1000)
    ids = [*words.encode(written[:-1]), np.zeros(2, np.int32)]  # 0 is no entry
    monkeypatch.setattr(token_counting, "BLOCK", 50)
    counts = token_counting.count(iter(ids), words.size, labels, 3, folds)
    for fold, entries in enumerate(counts.entries):
        expected = np.zeros((words.size, 3))
        for own, label in ((set(ids[at].tolist()), labels[at]) for at in np.flatnonzero(folds == fold).tolist()):
            expected[sorted(own - {0}), label] += 1
        np.testing.assert_array_equal(entries.toarray(), expected)


def test_pairs_are_the_most_frequent_ones_of_two_texts_or_more() -> None:
    ids = [np.array(some, np.int32) for some in ([2, 3, 2, 3], [3, 2, 3], [4, 5, 6], [4, 5, 3], [2, 3], [7])]
    frequencies = Counter(pair for some in ids for pair in {(int(a), int(b)) for a, b in pairwise(some)})
    assert {pair for pair, times in frequencies.items() if times > 1} == {(2, 3), (3, 2), (4, 5)}
    assert [learn_pairs(ids, 10, most).keys.tolist() for most in (0, 1, 2, 9)] == [[], [23], [23, 32], [23, 32, 45]]
    assert learn_pairs([np.array([2], np.int32)], 10, 9).keys.tolist() == []


def test_shuffled_labels_are_predicted_at_chance() -> None:
    written, labels = texts(60, 2)
    labels = np.random.default_rng(1).permutation(labels)
    folds = deal_folds(labels, SEPARATE[:120], 5)
    _, scores = fit_rnn(written, labels, 2, folds, Recipe(epochs=5, embedding_size=8, hidden_size=4))
    assert abs((scores.argmax(axis=1) == labels).mean() - 0.5) < 0.15


def test_many_labels_are_projected() -> None:
    written, labels = texts(3, 4)
    labels = np.arange(12)
    words = WordVocabulary.learn(written, 100)
    folds = deal_folds(labels, SEPARATE[:12], 5)
    options = EvidenceOptions(dimensions=5)
    fitted = cross_fit(Recipe(epochs=1), 10, options, words, words.encode(written), labels, 12, folds, Workplace(CPU))
    assert fitted.member.tables.dimensions == 5
    assert fitted.scores.shape == (12, 12)


def test_words_are_lower_cased_runs_of_letters_or_digits() -> None:
    assert split_words("It's 42\n\n\nNaïve_x?") == ["it", "'", "s", "42", "\n", "naïve", "_", "x", "?"]


def test_folds_are_stratified_and_keep_groups_together() -> None:
    labels = np.repeat(np.arange(3), 20)
    groups = [str(number // 2) for number in range(60)]
    folds = deal_folds(labels, groups, 5)
    assert (folds[::2] == folds[1::2]).all()
    assert np.array([np.bincount(labels[folds == fold], minlength=3) for fold in range(5)]).tolist() == [[4, 4, 4]] * 5
    assert sorted(deal_folds(np.arange(3), ["a", "b", "c"], 5).tolist()) == [0, 1, 2]
