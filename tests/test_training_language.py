"""The language objective: a model that predicts tokens, and a head that classifies texts by its states."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from training_texts import VOCABULARY, documents, learn, part_of, small, write_inputs

from tasks.training.classifier import load_classifier
from tasks.training.data.windows import tiles
from tasks.training.head import fit
from tasks.training.head.codebook import fit_codebook
from tasks.training.head.counts import count_all, read
from tasks.training.head.fit import CODES_SHARES, score_head, select
from tasks.training.head.head import HeadConfig, best_temperature, fit_head, log_softmax
from tasks.training.head.progress import HeadProgress
from tasks.training.models import language_model
from tasks.training.models.language_model import LanguageModel, LanguageModelArchitecture
from tasks.training.models.recurrent import Noise
from tasks.training.objectives import language as language_objective
from tasks.training.objectives.language import LanguageObjective
from tasks.training.task import train

CPU = torch.device("cpu")
LANGUAGE = {"objective": "language", "dropout": 0.0, "token_dropout": 0.0, "embedding_dropout": 0.0}


def reader(cell: str = "mingru", bidirectional: bool = True, layers: int = 1, vocabulary: int = 20) -> LanguageModel:
    torch.manual_seed(0)
    return (
        LanguageModel(LanguageModelArchitecture(vocabulary, cell, 6, 5, layers, bidirectional), Noise()).double().eval()
    )


def test_rare_tokens_share_a_class(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(language_model, "MAX_TARGETS", 12)
    model = reader(vocabulary=20)
    ids = torch.arange(1, 20)[:, None]
    _, states = model.encode(ids, None)
    assert model.logits(states, None, torch.tensor([3])).shape == (1, 1, 13)
    assert model.targets(ids).flatten().tolist() == [*range(1, 12), *[12] * 8]
    assert reader(vocabulary=10).targets(ids[:9]).flatten().tolist() == list(range(1, 10))


@pytest.mark.parametrize("cell", ["mingru", "minlstm", "gru", "lstm", "rnn"])
@pytest.mark.parametrize(("bidirectional", "layers"), [(True, 1), (False, 2)])
def test_the_prediction_of_a_token_never_depends_on_the_token(cell: str, bidirectional: bool, layers: int):
    model = reader(cell, bidirectional, layers)
    ids = torch.randint(2, 20, (9, 1))
    for position in range(9):
        other = ids.clone()
        other[position] = (ids[position] - 2 + 5) % 18 + 2
        told = [
            model.logits(model.encode(some, None)[1], None, torch.tensor([position])).detach() for some in (ids, other)
        ]
        torch.testing.assert_close(told[0], told[1], rtol=0, atol=0)
        neighbour = position - 1 if position > 0 else 1
        if neighbour < position or bidirectional:
            changed = ids.clone()
            changed[neighbour] = (ids[neighbour] - 2 + 5) % 18 + 2
            seen = model.logits(model.encode(changed, None)[1], None, torch.tensor([position])).detach()
            assert not torch.equal(seen, told[0])


@hypothesis_settings(max_examples=25)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4), both=st.booleans())
def test_padding_changes_no_prediction(lengths: list[int], both: bool):
    model, longest = reader(bidirectional=both), max(lengths)
    ids = torch.randint(2, 20, (longest, len(lengths)))
    together = model.logits(model.encode(ids, torch.tensor(lengths))[1], torch.tensor(lengths), torch.arange(longest))
    for column, length in enumerate(lengths):
        alone = model.logits(model.encode(ids[:length, [column]], None)[1], None, torch.arange(length))
        torch.testing.assert_close(together[:length, column], alone[:, 0])


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6), size=st.integers(1, 12))
def test_tiles_hold_every_token_once(lengths: list[int], size: int):
    offsets = np.cumsum([0, *lengths])
    windows = tiles(offsets, size)
    held = [
        (document, place)
        for start, length, document in zip(windows.starts, windows.lengths, windows.documents, strict=True)
        for place in range(start, start + length)
    ]
    assert held == [(i, place) for i in range(len(lengths)) for place in range(offsets[i], offsets[i + 1])]


def test_reading_gives_the_position_of_each_state():
    model, ids, offsets = reader().float(), np.random.default_rng(0).integers(2, 20, 60), np.array([0, 7, 7, 41, 60])
    found = list(read(model, ids, tiles(offsets, 8), CPU))
    places = np.concatenate([some for some, _ in found])
    assert sorted(places) == list(range(60))
    vectors = torch.cat([some for _, some in found])
    torch.testing.assert_close(vectors[:, 10:], model.embedding(torch.from_numpy(ids[places])).detach())


def test_the_counts_of_a_text_do_not_depend_on_the_other_texts():
    model = reader().float()
    rng = np.random.default_rng(1)
    texts = [rng.integers(2, 20, length) for length in (3, 30, 11)]
    codebook = fit_codebook(torch.randn(200, 16), 9, torch.Generator().manual_seed(0))
    offsets = np.cumsum([0, *map(len, texts)])
    together = count_all(model, codebook, np.concatenate(texts), offsets, 8, CPU)
    for number, text in enumerate(texts):
        alone = count_all(model, codebook, text, np.array([0, len(text)]), 8, CPU)
        for block, one in zip(together, alone, strict=True):
            assert block[number].tolist() == one[0].tolist()
            assert block[number].sum() == len(text)
    assert together[0][1].tolist() == np.bincount(texts[1], minlength=20).tolist()


@pytest.mark.parametrize(("sample", "drawn_in_all"), [(20, 20), (50, 38), (100, 76), (38, 38)])
def test_states_are_sampled_from_all_texts(monkeypatch: pytest.MonkeyPatch, sample: int, drawn_in_all: int):
    monkeypatch.setattr(fit, "SAMPLE", sample)
    rng = np.random.default_rng(0)
    texts = [np.full(rng.integers(4, 9), token) for token in range(2, 40)]  # each with its own token
    part = part_of(texts, np.zeros(len(texts), np.int64), "text", run=7)
    model = reader(vocabulary=VOCABULARY).float()
    drawn = fit.sample_states(model, part, 4, 0, CPU, HeadProgress(part.tokens))[:, 10:]
    embeddings = model.embedding(torch.arange(VOCABULARY)).detach()
    tokens = torch.cdist(drawn, embeddings).argmin(1).tolist()
    assert len(tokens) == drawn_in_all
    assert len(set(tokens)) == min(sample, 38)  # from as many texts as possible
    assert max(tokens) > 30


def test_a_vectors_code_is_its_nearest_centre():
    torch.manual_seed(0)
    middles = torch.tensor([[0.0, 9.0], [9.0, 0.0], [-9.0, -9.0]])
    vectors = middles.repeat_interleave(50, 0) + torch.randn(150, 2)
    codebook = fit_codebook(vectors, 3, torch.Generator().manual_seed(3))
    codes = codebook.codes(vectors)
    distances = torch.cdist((vectors - codebook.mean) / codebook.scale, codebook.centres)
    assert codes.tolist() == distances.argmin(1).tolist()
    assert len(fit_codebook(vectors[:2], 9, torch.Generator().manual_seed(0)).centres) == 2


@hypothesis_settings(max_examples=30)
@given(
    counts=arrays(np.int64, st.tuples(st.integers(4, 9), st.integers(1, 12)), elements=st.integers(0, 9)),
    labels=st.sampled_from([2, 3]),
)
def test_predictions_are_probabilities_for_any_counts(counts: np.ndarray, labels: int):
    own = np.arange(len(counts)) % labels
    head = fit_head([counts.astype(float)], (1,), own, labels, inverse_regularization=5.0, class_weight_power=1.0)
    answers = np.exp(log_softmax(head.logits([counts.astype(float)])))
    assert answers.shape == (len(counts), labels)
    np.testing.assert_allclose(answers.sum(axis=1), 1)


def test_empty_columns_change_no_prediction():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1.0, 1.0, (3, 12))[np.arange(40) % 3]).astype(float)
    labels = np.arange(40) % 3
    wide = np.concatenate([counts, np.zeros((40, 60))], axis=1)  # more columns than texts, all but twelve of them empty
    narrow, broad = (fit_head([some], (1,), labels, 3, 5.0, 1.0).logits([some]) for some in (counts, wide))
    np.testing.assert_allclose(narrow, broad, atol=1e-3)


def test_a_block_with_weight_zero_changes_no_prediction():
    rng = np.random.default_rng(2)
    counts, noise = rng.poisson(3.0, (20, 6)).astype(float), rng.poisson(3.0, (20, 9)).astype(float)
    labels = np.arange(20) % 2
    alone = fit_head([counts], (1,), labels, 2, 5.0, 1.0).logits([counts])
    beside = fit_head([counts, noise], (1, 0), labels, 2, 5.0, 1.0).logits([counts, noise])
    np.testing.assert_allclose(alone, beside, atol=1e-3)


def test_predictions_for_short_texts_are_less_confident():
    rng = np.random.default_rng(4)
    labels = np.arange(90) % 3
    shares = rng.dirichlet(np.full(40, 0.5), 3)
    counts = np.stack([rng.multinomial(600, shares[label]) for label in labels])
    head = fit_head([counts], (1,), labels, 3, 5.0, 1.0)
    confidence = [np.exp(log_softmax(head.logits([some]))).max(axis=1) for some in (np.eye(40, dtype=int), counts)]
    assert confidence[0].max() < confidence[1].mean()
    no_tokens = np.exp(log_softmax(head.logits([np.zeros((1, 40), int)])))
    np.testing.assert_allclose(no_tokens, 1 / 3, atol=0.1)  # the labels have equally many texts


@pytest.mark.parametrize(("lead", "selected"), [(0.0, 0), (0.02, 0), (0.5, 1)])
def test_validation_selects_an_alternative_only_if_it_is_clearly_better(lead: float, selected: int):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 60)
    logits = rng.normal(0, 1, (60, 3)) + 2 * np.eye(3)[labels]
    better = logits + rng.normal(0, 0.3, (60, 3)) + 4 * lead * np.eye(3)[labels]
    candidates = [
        score_head(HeadConfig((1.0, share), 5.0), one, labels) for share, one in ((0.1, logits), (0.3, better))
    ]
    assert select(candidates) is candidates[selected]


def test_the_temperature_undoes_a_factor_of_the_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 3))
    labels = np.array([rng.choice(3, p=row) for row in np.exp(log_softmax(logits))])
    assert best_temperature(logits * 2.5, labels) == pytest.approx(2.5, rel=0.1)
    assert best_temperature(np.array([[9.0, 0.0]]), np.array([0])) == pytest.approx(1 / 4)


def test_it_learns_to_predict_tokens_and_then_labels(tmp_path: Path):
    training, validation = documents(12, seed=0), documents(6, seed=1)
    settings = small(**LANGUAGE, epochs=6, learning_rate=0.02, prediction_ratio=0.5, codebook_size=8)
    objective = LanguageObjective(settings, training, validation, CPU)
    before = objective.validate()
    assert before.loss == pytest.approx(np.log(VOCABULARY), rel=0.2)
    result = learn(settings, training, validation)
    assert result.history[-1]["validation_loss"] < before.loss - 0.05
    assert result.history[-1]["validation_accuracy"] is None
    objective.model.load_state_dict(result.weights)
    classifier, metrics = objective.finalize(tmp_path)
    assert metrics.accuracy is not None
    assert metrics.accuracy > 0.8
    answers = classifier.log_probabilities(np.concatenate(list(validation)), validation.offsets)
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1)


def test_validation_metrics_are_from_before_the_head_is_fitted_to_the_validation_texts_too(tmp_path: Path):
    training, (first, *others) = documents(12, seed=0), list(documents(6, seed=1))
    right = documents(6, seed=1).labels
    validation = part_of([first, *others], np.append((right[0] + 1) % 3, right[1:]), "with one wrong label")
    objective = LanguageObjective(small(**LANGUAGE, codebook_size=8, head_C=500.0), training, validation, CPU)
    classifier, metrics = objective.finalize(tmp_path)
    answers = classifier.log_probabilities(np.concatenate(list(validation)), validation.offsets)
    assert answers[0].argmax() == validation.labels[0]
    assert (answers.argmax(axis=1) == validation.labels).mean() > metrics.accuracy


def test_progress_of_fitting_the_head_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("tasks.training.head.progress.SECONDS_BETWEEN_LINES", 0.0)
    training, validation = documents(12, run=9), documents(6, seed=1, run=9)
    objective = LanguageObjective(small(**LANGUAGE, codebook_size=8), training, validation, CPU)
    with caplog.at_level(logging.INFO, "corpusflow.training"):
        objective.finalize(tmp_path)
    begin = "training: reading the texts with the language model, "
    first = caplog.messages.index("training: fitting the head")
    shares = [int(line.removeprefix(begin).removesuffix("%")) for line in caplog.messages[:first]]
    fitted = [f"training: fitting the head, {number} of 8" for number in range(1, 8)]
    assert caplog.messages[first + 1 :] == fitted
    assert len(shares) == 2 * 4 + 2
    assert shares == sorted(shares)
    assert shares[3] == pytest.approx(100 * training.tokens / (2 * training.tokens + validation.tokens), abs=1)
    assert shares[-1] == 100


def test_the_model_folder_gives_the_same_predictions_and_the_kept_epochs_metrics(tmp_path: Path):
    inputs = write_inputs(tmp_path / "inputs")
    answers = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        settings = small(**LANGUAGE, epochs=2, codebook_size=8)
        summary = train.function(settings, tmp_path / name, **inputs, scratch=tmp_path / f"{name}-scratch")
        answers.append(load_classifier(tmp_path / name, "cpu").log_probabilities(list(documents(seed=2))))
    np.testing.assert_array_equal(*answers)
    history = pd.read_parquet(tmp_path / "one/history.parquet")
    kept = history[history["kept"]]
    assert kept["validation_accuracy"].tolist() == [summary["validation_accuracy"]]
    assert kept["validation_macro_f1"].notna().all()
    assert (kept["completion_seconds"] > 0).all()
    assert history[~history["kept"]][["validation_accuracy", "completion_seconds"]].isna().all(axis=None)
    assert json.loads((tmp_path / "one/config.json").read_text())["architecture"]["codes_share"] in CODES_SHARES


def test_a_single_text_selects_no_alternative():
    logits, labels = np.array([[0.0, 0.1]]), np.array([1])
    candidates = [score_head(HeadConfig((1.0, share), 5.0), share * logits, labels) for share in (0.1, 0.3)]
    assert select(candidates) is candidates[0]


def test_a_long_window_is_validated_in_parts(monkeypatch: pytest.MonkeyPatch):
    objective = LanguageObjective(small(**LANGUAGE), documents(), documents(seed=1), CPU)
    whole = objective.validate()
    monkeypatch.setattr(language_objective, "TOKENS_AT_ONCE", 5)
    parts = objective.validate()
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.window_accuracy == whole.window_accuracy
