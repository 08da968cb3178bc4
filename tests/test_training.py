"""Windows, batches, the training of every cell, and errors before the first step."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from training_texts import labelled, small, write_inputs

from tasks.shared.errors import SettingsError, TrainingError
from tasks.shared.progress import progress_listener
from tasks.shared.ui.markdown import Markdown
from tasks.training.history import read_history
from tasks.training.input.vocabulary import WordVocabulary
from tasks.training.input.windows import batches_by_length, cut, shuffled_batches, windows_per_text
from tasks.training.loop.cross_fit import CrossFitted, EvidenceOptions, Workplace, cross_fit
from tasks.training.loop.optimizer import rate_factor
from tasks.training.loop.recipe import Recipe
from tasks.training.models.controls import CONTROLS
from tasks.training.preflight import check_memory, fit_at_once, step_bytes, table_bytes
from tasks.training.runtime import device
from tasks.training.runtime.device import choose_device
from tasks.training.show import pages
from tasks.training.task import make_recipe
from tasks.training.task import train as stage

CPU = torch.device("cpu")
WITH_EVIDENCE = EvidenceOptions()


def learn(recipe: Recipe, options: EvidenceOptions | None = WITH_EVIDENCE, folds: int = 5) -> CrossFitted:
    known = labelled(12)
    words = WordVocabulary.learn(known.texts, 1000)
    return cross_fit(
        recipe, 120, options, words, words.encode(known.texts), known.labels, 3, known.folds % folds, Workplace(CPU)
    )


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6), size=st.integers(1, 20), per_text=st.integers(1, 5)
)
def test_windows_cover_the_beginning_of_each_text_in_order(lengths: list[int], size: int, per_text: int) -> None:
    texts = [np.arange(length, dtype=np.int32) for length in lengths]
    windows = cut(texts, None, size, per_text)
    assert windows.lengths.max() <= size
    for number, length in enumerate(lengths):
        mine = [windows.tokens[at] for at in np.flatnonzero(windows.text == number).tolist()]
        assert np.concatenate(mine).tolist() == list(range(min(length, size * per_text)))
        assert max(map(len, mine)) - min(map(len, mine)) <= 1


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=90), seed=st.integers(0, 9))
def test_batches_hold_every_window_once(lengths: list[int], seed: int) -> None:
    sizes = np.array(lengths)
    for groups in (batches_by_length(sizes, 4), list(shuffled_batches(sizes, 4, np.random.default_rng(seed)))):
        assert max(map(len, groups)) <= 4
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))


def test_few_texts_give_more_windows_each() -> None:
    assert [windows_per_text(texts, 12_000) for texts in (0, 450, 11_000, 50_000)] == [12_000, 26, 1, 1]


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    assert [rate_factor(done, 0.1) for done in (0.05, 0.1, 0.55, 1)] == pytest.approx([0.5, 1, 0.5, 0])
    assert rate_factor(0, 0) == 1


@pytest.mark.parametrize("cell", ["mingru", "minlstm", "gru", "lstm", "rnn", *CONTROLS])
def test_every_cell_learns_the_labels_from_embeddings_alone(cell: str) -> None:
    recipe = replace(make_recipe(small(epochs=8, learning_rate=0.03)), cell=cell, layers=2)
    fitted = learn(recipe, None, folds=2)
    first, last = fitted.history[0], [row for row in fitted.history if row["epoch"] == recipe.epochs]
    assert np.mean([row["validation_accuracy"] for row in last]) > 0.6
    assert last[0]["train_loss"] < first["train_loss"]


def test_evidence_is_learned_at_once() -> None:
    fitted = learn(make_recipe(small(epochs=2)))
    assert np.mean([row["validation_accuracy"] for row in fitted.history if row["epoch"] == 2]) > 0.8
    assert not np.isnan(fitted.scores).any()
    assert [row["fold"] for row in fitted.history] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_training_is_reproducible_and_leaves_the_callers_random_state() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = learn(make_recipe(small()))
    assert torch.equal(torch.rand(3), expected)
    assert (first.scores == learn(make_recipe(small())).scores).all()
    assert (first.scores != learn(make_recipe(small(seed=1))).scores).any()


def test_progress_is_reported() -> None:
    shares: list[float] = []
    with progress_listener(shares.append):
        learn(make_recipe(small()))
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] == 1


def test_the_stage_writes_the_member_and_its_predictions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inputs = write_inputs(tmp_path)
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.INFO, "corpusflow.training"):
        summary = stage.function(small(), tmp_path / "out", **inputs, scratch=tmp_path / "scratch")
    assert summary["rows"] == 36
    assert summary["networks"] == 5
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {
        *("history.parquet", "gradients.parquet", "rnn.out-of-fold.parquet", "rnn/vocabulary.parquet"),
        *("rnn/networks.safetensors", "rnn/evidence.safetensors", "rnn/config.json"),
    }
    assert pq.read_table(tmp_path / "out" / "rnn.out-of-fold.parquet").num_rows == 36
    assert "network 5, epoch 2 done" in caplog.text
    history = read_history(tmp_path / "out")
    assert history["epoch"].tolist() == [1, 2]
    assert len(history["validation_loss"]) == 2
    (page,) = pages(tmp_path / "out")
    assert isinstance(page, Markdown)
    assert "out-of-fold loss" in page.text


def test_too_little_memory_stops_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.training.preflight.free_bytes", lambda _: 2**20)
    with pytest.raises(TrainingError, match=r"would take about .* GiB are free; lower training\.batch_size"):
        check_memory(Recipe(), EvidenceOptions(), 30_000, 20, CPU)


def test_networks_are_trained_at_once_only_if_their_memory_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.training.preflight.free_bytes", lambda _: 2**31)
    fits = [fit_at_once(networks, Recipe(), EvidenceOptions(), 30_000, 20, 10**6) for networks in (1, 3, 8)]
    assert fits == [True, True, False]
    assert not fit_at_once(3, Recipe(), EvidenceOptions(), 30_000, 20, 10**8)


def test_memory_is_bounded_for_thousands_of_labels() -> None:
    assert table_bytes(EvidenceOptions(), 30_000, 2000) < 450e6
    assert step_bytes(Recipe(), EvidenceOptions(), 30_000, 2000) < 600e6


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_missing_device_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=f"training.device: {name} is not available here; choose cpu or auto"):
        choose_device(name)


def test_memory_of_a_container_counts(tmp_path: Path) -> None:
    for name, text in (("max", "1000"), ("current", "900"), ("stat", "active_file 50\ninactive_file 30\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert device._free_cgroup_bytes(tmp_path) == 180


@pytest.mark.parametrize("values", [{"cell": "none"}, {"epochs": 0}, {"input": "embeddings", "embedding_size": 1}])
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        small(**values)


def test_the_evidence_section_is_no_part_of_the_fingerprint_of_embeddings() -> None:
    assert "evidence" in small().cache_values()
    assert "evidence" not in small(input="embeddings").cache_values()
