"""Members that learn from a sample of the labelled texts, because memory is bounded by a setting."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from evaluation_inputs import TRAINING, make_inputs
from training_texts import small, write_inputs

from tasks.evaluation.settings import EvaluationSettings
from tasks.evaluation.task import evaluate
from tasks.linear import contract
from tasks.linear.settings import LinearLimits, LinearSettings
from tasks.linear.task import fit_linear
from tasks.shared.checks.runner import run_contract
from tasks.shared.errors import ArtifactError, TrainingError
from tasks.shared.out_of_fold import OutOfFold
from tasks.splitting.labelled import ALWAYS, choose_texts
from tasks.stacking.out_of_fold import in_common
from tasks.stacking.settings import StackingSettings
from tasks.stacking.stacked import StackedClassifier
from tasks.stacking.task import stack
from tasks.tokenization.settings import TokenizationSettings
from tasks.tokenization.task import tokenize
from tasks.training import contract as training_contract
from tasks.training.settings import TrainingLimits
from tasks.training.task import train
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.task import learn_vocabulary

OTHER_ORDER = [23, *range(23)]


def test_a_sample_has_every_label_and_grows_with_its_bound() -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.zeros(4000, np.int64), np.ones(900, np.int64), np.full(30, 2)])
    rng.shuffle(labels)
    doc_ids, sizes = [f"{number:05d}" for number in range(len(labels))], rng.integers(100, 900, len(labels))
    assert choose_texts(doc_ids, labels, sizes, int(sizes.sum())).tolist() == list(range(len(labels)))
    before: set[int] = set()
    for most in (1, 50_000, 400_000, 1_000_000, 2_000_000):
        chosen = choose_texts(doc_ids, labels, sizes, most)
        assert (np.diff(chosen) > 0).all()
        assert sizes[chosen].sum() <= max(most, 900)
        assert sizes[chosen].sum() > most - 900
        assert before <= set(chosen.tolist())
        before = set(chosen.tolist())
    counts = np.bincount(labels[chosen])
    assert counts[2] == 30
    assert (counts[0] - ALWAYS) / 4000 == pytest.approx((counts[1] - ALWAYS) / 900, abs=0.01)
    more = choose_texts([*doc_ids, "x"], np.append(labels, 0), np.append(sizes, 500), 1_000_000)
    assert len(set(more.tolist()) ^ set(choose_texts(doc_ids, labels, sizes, 1_000_000).tolist())) < 10


def empty_folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """For a member that learns from a sample, the model and the report."""
    member, model, report = (tmp_path / name for name in ("sampled", "sampled-model", "report"))
    for folder in (member, model, report):
        folder.mkdir()
    return member, model, report


def test_a_member_that_learns_from_a_sample_says_so_and_joins_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = make_inputs(tmp_path)
    linear, model, report = empty_folders(tmp_path)
    settings = LinearSettings(characters_max_megabytes=0.002)
    texts = {"cleaned": inputs.cleaned, "splits": inputs.splits}
    with caplog.at_level(logging.INFO, "corpusflow"):
        said = fit_linear.function(settings, linear, **texts, scratch=tmp_path / "sampled-scratch")
    (line,) = [line for line in caplog.messages if "sample" in line]
    expected = rf"linear: characters learns from a sample, {said['characters_texts']} of 24 labelled texts: they have "
    assert re.fullmatch(rf"{expected}0\.00\d+ megabytes, and linear\.characters_max_megabytes is 0\.002", line)
    assert 8 <= said["characters_texts"] < 16
    assert "words_texts" not in said
    sizes = {name: len(pd.read_parquet(linear / f"{name}.out-of-fold.parquet")) for name in settings.members}
    assert sizes == {"words": 24, "characters": said["characters_texts"], "counts": 24}
    assert all(result.success for result in run_contract(contract, linear, texts, settings, LinearLimits()))
    together = stack.function(StackingSettings(), model, linear=linear, training=inputs.training)
    assert together["rows"] == said["rows"] == 24  # by which a later run knows whether there are more texts now
    assert json.loads((model / "model.json").read_text())["out_of_fold"]["documents"] == said["characters_texts"]
    folders = inputs.for_the_stage(tmp_path / "calls") | {"linear": linear, "model": model}
    evaluate.function(EvaluationSettings(bootstrap_samples=100, device="cpu"), report, **folders)
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["doubtful_labels"]["labelled"] == said["characters_texts"]
    assert metrics["baselines"]["tfidf_svm"]["accuracy"] > 0.8


def test_an_rnn_that_learns_from_a_sample_says_so_and_joins_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = make_inputs(tmp_path)
    training, model, report = empty_folders(tmp_path)
    settings = TRAINING.model_copy(update={"max_megabytes": 0.0026})
    texts = {"cleaned": inputs.cleaned, "splits": inputs.splits}
    unread = {"tokens": tmp_path / "tokens", "vocabulary": tmp_path / "vocabulary"}
    with caplog.at_level(logging.INFO, "corpusflow"):
        said = train.function(settings, training, **texts, **unread, scratch=tmp_path / "sampled-scratch")
    (line,) = [line for line in caplog.messages if "sample" in line]
    expected = (
        rf"training: rnn learns from a sample, {said['texts']} of 24 labelled texts: they have 0\.00\d+ megabytes"
    )
    assert re.fullmatch(rf"{expected}, and training\.max_megabytes is 0\.0026", line)
    assert (said["rows"], said["networks"]) == (24, 5)
    assert 10 <= said["texts"] < 20
    predicted = pd.read_parquet(training / "rnn.out-of-fold.parquet")
    assert len(predicted) == said["texts"]
    assert predicted["doc_id"].is_monotonic_increasing
    results = run_contract(training_contract, training, texts, settings, TrainingLimits())
    assert [result.reason for result in results if not result.success] == []
    together = stack.function(StackingSettings(min_standard_errors=0), model, linear=inputs.linear, training=training)
    assert together["rows"] == 24
    assert json.loads((model / "model.json").read_text())["out_of_fold"]["documents"] == said["texts"]
    classifier = StackedClassifier.load(model, "cpu")
    assert np.isfinite(classifier.log_probabilities(["w1 w2 w16"])).all()
    assert np.isfinite(classifier.explain("w1 w2 w16", 0, 1).log_odds)
    folders = inputs.for_the_stage(tmp_path / "calls") | {"training": training, "model": model}
    evaluate.function(EvaluationSettings(bootstrap_samples=100, device="cpu"), report, **folders)
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["doubtful_labels"]["labelled"] == said["texts"]
    assert set(metrics["members"]) == {"words", "characters", "counts", "rnn"}


def test_a_sample_may_lack_a_label_and_have_few_folds_but_not_a_single_one(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path, per_label=7)
    for name in ("linear", "training", "model"):
        (tmp_path / name).mkdir()
    settings = small(max_megabytes=0.00018, epochs=1)
    said = train.function(settings, tmp_path / "training", **inputs, scratch=tmp_path / "scratch")
    predicted = pd.read_parquet(tmp_path / "training" / "rnn.out-of-fold.parquet")
    assert predicted["label"].tolist() == ["news", "fable"]  # of three
    assert predicted["fold"].tolist() == [1, 0]
    assert (said["texts"], said["networks"]) == (2, 2)
    results = run_contract(training_contract, tmp_path / "training", inputs, settings, TrainingLimits())
    assert [result.reason for result in results if not result.success] == []
    texts = {"cleaned": inputs["cleaned"], "splits": inputs["splits"]}
    fit_linear.function(LinearSettings(), tmp_path / "linear", **texts, scratch=tmp_path / "fits")
    stack.function(StackingSettings(), tmp_path / "model", linear=tmp_path / "linear", training=tmp_path / "training")
    for folder in ("single", "single-scratch"):
        (tmp_path / folder).mkdir()
    with pytest.raises(TrainingError, match=r"^all texts .* \(1\) are of one fold, .*; raise training\.max_megabytes"):
        train.function(small(max_megabytes=1e-6), tmp_path / "single", **inputs, scratch=tmp_path / "single-scratch")


def test_an_rnn_of_tokens_reads_those_of_its_sample(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    texts = {"cleaned": inputs["cleaned"], "splits": inputs["splits"]}
    for name in ("tokens", "vocabulary", "all", "some", "learning", "encoding"):
        (tmp_path / name).mkdir()
    learn_vocabulary.function(
        VocabularySettings(size=300), inputs["vocabulary"], **texts, scratch=tmp_path / "learning"
    )
    tokenize.function(
        TokenizationSettings(),
        inputs["tokens"],
        **texts,
        vocabulary=inputs["vocabulary"],
        scratch=tmp_path / "encoding",
    )
    for name, megabytes in (("all", 1), ("some", 0.002)):
        settings = small(input="embeddings", max_megabytes=megabytes, epochs=1)
        said = train.function(settings, tmp_path / name, **inputs, scratch=tmp_path / f"{name}-scratch")
        predicted = pd.read_parquet(tmp_path / name / "rnn.out-of-fold.parquet")
        assert len(predicted) == said.get("texts", said["rows"])
        assert ("texts" in said) == (name == "some")
        read = np.load(tmp_path / f"{name}-scratch" / "inputs" / "ends.npy")
        tokens = pd.read_parquet(inputs["tokens"] / "tokens").set_index("doc_id")["length"]
        assert np.diff(read, prepend=0).tolist() == tokens[predicted["doc_id"]].tolist()


def test_members_without_texts_in_common_are_refused() -> None:
    def made(*doc_ids: str) -> OutOfFold:
        return OutOfFold(list(doc_ids), np.zeros(len(doc_ids), np.int64), np.zeros((len(doc_ids), 2), np.float32))

    common = in_common({"words": made("a", "b", "c"), "counts": made("a", "c")})
    assert [list(some.doc_ids) for some in common.values()] == [["a", "c"]] * 2
    with pytest.raises(ArtifactError, match="different texts"):
        in_common({"words": made("a", "b", "c"), "counts": made("a", "d")})


def test_a_text_larger_than_the_bound_leaves_room_for_the_others() -> None:
    labels = np.arange(300) % 3
    doc_ids, sizes = [f"{number:03d}" for number in range(300)], np.full(300, 100_000)
    first = int(choose_texts(doc_ids, labels, sizes, 1)[0])
    sizes[first] = 200_000_000
    chosen = choose_texts(doc_ids, labels, sizes, 35_000_000)
    assert set(chosen.tolist()) == set(range(300)) - {first}
    books = choose_texts(doc_ids, labels, np.full(300, 5_000_000), 35_000_000)
    assert np.bincount(labels[books]).tolist() == [3, 2, 2]


@pytest.mark.parametrize(
    ("damage", "columns"),
    [
        (lambda table: table.slice(1), {"predicted_or_left_out", "other_texts"}),
        (lambda table: table.take([0, *range(table.num_rows)]), {"predicted_or_left_out", "other_texts", "duplicates"}),
        (lambda table: table.set_column(1, table.schema.field(1), table["label"].take(OTHER_ORDER)), {"other_texts"}),
    ],
)
def test_a_labelled_text_that_is_lost_repeated_or_relabelled_fails_the_check(tmp_path: Path, damage, columns) -> None:
    inputs = make_inputs(tmp_path)
    linear = tmp_path / "linear-of-its-own"
    linear.mkdir()
    settings = LinearSettings(members=("words",), C=(1.0,))
    texts = {"cleaned": inputs.cleaned, "splits": inputs.splits}
    fit_linear.function(settings, linear, **texts, scratch=tmp_path / "fits")
    file = linear / "words.out-of-fold.parquet"
    pq.write_table(damage(pq.read_table(file)), file)
    results = run_contract(contract, linear, texts, settings, LinearLimits(min_gain_over_majority=-1))
    failed = {
        result.arguments.get("column_A", result.arguments.get("column")) for result in results if not result.success
    }
    assert failed == columns
