"""Windows, the training loop, the model folder, and errors before the first step."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from training_texts import DIGEST, LABELS, VOCABULARY, documents, learn, small, write_inputs

from tasks.shared.errors import ArtifactError, CorpusError, SettingsError, TrainingError
from tasks.shared.plots.curves import training_curves
from tasks.shared.ui.markdown import Markdown
from tasks.training.classifier import load_classifier
from tasks.training.config import identity, model_config
from tasks.training.data.windows import batches, count_windows, sliding_windows
from tasks.training.history import read_history
from tasks.training.loop.epoch_metrics import Callback, Progress
from tasks.training.loop.schedule import lr_factor
from tasks.training.models.inference import pool_documents
from tasks.training.models.recurrent import Noise
from tasks.training.models.window_classifier import WindowArchitecture, WindowClassifier
from tasks.training.preflight import check_labels, check_memory, check_split, needed_bytes
from tasks.training.runtime import device
from tasks.training.runtime.device import choose_device
from tasks.training.schema import HISTORY
from tasks.training.settings import TrainingSettings
from tasks.training.show import pages
from tasks.training.task import train as stage

CPU = torch.device("cpu")


@given(
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=6),
    size=st.integers(1, 20),
    stride=st.integers(1, 20),
    seed=st.one_of(st.none(), st.integers(0, 9)),
)
def test_windows_leave_no_token_out_and_stay_inside_their_text(
    lengths: list[int], size: int, stride: int, seed: int | None
) -> None:
    stride = min(size, stride)
    offsets = np.cumsum([0, *lengths])
    shifts = None if seed is None else np.random.default_rng(seed).integers(stride, size=len(lengths))
    windows = sliding_windows(offsets, size, stride, shifts)
    covered: dict[int, set[int]] = {number: set() for number in range(len(lengths))}
    for start, length, document in zip(windows.starts, windows.lengths, windows.documents, strict=True):
        assert length == min(size, lengths[document])
        covered[document] |= set(range(start, start + length))
    for number, tokens in covered.items():
        assert tokens == set(range(offsets[number], offsets[number + 1]))
    assert len(set(zip(windows.starts, windows.documents, strict=True))) == len(windows)
    counts = count_windows(np.array(lengths), size, stride, 0 if shifts is None else shifts)
    assert counts.tolist() == np.bincount(windows.documents, minlength=len(lengths)).tolist()


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20), seed=st.one_of(st.none(), st.integers(0, 9)))
def test_batches_hold_every_window_once(lengths: list[int], seed: int | None) -> None:
    windows = sliding_windows(np.cumsum([0, *lengths]), 8, 8)
    groups = list(batches(windows, 4, None if seed is None else np.random.default_rng(seed)))
    assert max(map(len, groups)) <= 4
    assert sorted(np.concatenate(groups)) == list(range(len(windows)))


def test_training_shifts_its_windows_each_epoch_and_prediction_does_not() -> None:
    offsets = np.array([0, 1000])
    rng = np.random.default_rng(0)
    first, second = (sliding_windows(offsets, 100, 100, rng.integers(100, size=1)).starts.tolist() for _ in range(2))
    assert first != second
    assert sliding_windows(offsets, 100, 50).starts.tolist() == list(range(0, 901, 50))


def test_a_text_is_the_mean_of_its_windows() -> None:
    answers = np.log([[0.8, 0.2], [0.2, 0.8], [0.9, 0.1]])
    pooled = np.exp(pool_documents(answers, np.array([0, 0, 1]), 2))
    np.testing.assert_allclose(pooled, [[0.5, 0.5], [0.9, 0.1]])


def test_schedules_start_peak_and_end() -> None:
    assert [lr_factor("one_cycle", done, 0.3) for done in (0, 0.3, 1)] == pytest.approx([0.04, 1, 1e-4])
    assert [lr_factor("one_cycle", done, 0.0) for done in (0, 1)] == pytest.approx([1, 1e-4])
    assert [lr_factor("cosine", done, 0.3) for done in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert lr_factor("constant", 0.7, 0.3) == 1


@pytest.mark.parametrize("cell", ["none", "rnn", "gru", "lstm", "mingru", "minlstm"])
def test_every_cell_learns_the_labels(cell: str) -> None:
    settings = small(cell=cell, epochs=12, dropout=0, num_layers=2, pooling="mean_max", learning_rate=0.02)
    trained = learn(settings, documents(12), documents(12, seed=1))
    assert max(row["validation_accuracy"] for row in trained.history) > 0.8
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


def test_the_weights_with_the_lowest_validation_loss_are_kept_and_training_stops_when_it_rises() -> None:
    settings = small(epochs=60, patience=2, learning_rate=0.5, schedule="constant", dropout=0)
    trained = learn(settings, documents(), documents(seed=1))
    losses = [row["validation_loss"] for row in trained.history]
    assert trained.kept_epoch == np.argmin(losses) + 1
    assert [row["epoch"] for row in trained.history if row["kept"]] == [trained.kept_epoch]
    assert len(losses) == trained.kept_epoch + 2 < 60
    again = learn(small(**settings.model_dump() | {"patience": 50}), documents(), documents(seed=1))
    assert [row["train_loss"] for row in again.history[: len(losses)]] == [row["train_loss"] for row in trained.history]


def test_training_does_not_change_the_callers_random_state() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    learn(small(epochs=1), documents(), documents(seed=1))
    assert torch.equal(torch.rand(3), expected)


def test_progress_is_reported_within_an_epoch() -> None:
    reports: list[Progress] = []
    learn(small(epochs=2), documents(), documents(seed=1), callback=Callback(reports.append, interval=0))
    assert [progress.epoch for progress in reports] == sorted(progress.epoch for progress in reports)
    assert {progress.epoch for progress in reports} == {1, 2}
    assert reports[-1].share == 1.0
    assert all(progress.tokens_per_second > 0 and np.isfinite(progress.loss) for progress in reports)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def build(inputs: dict[str, Path], folder: Path, **changes: Any) -> Path:
    (folder / "out").mkdir(parents=True)
    stage.function(small(**changes), folder / "out", **inputs, scratch=folder / "scratch")
    return folder / "out"


@pytest.fixture(scope="module")
def model(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(inputs, tmp_path_factory.mktemp("model"))


def test_same_inputs_and_settings_give_the_same_bytes(inputs: dict[str, Path], model: Path, tmp_path: Path) -> None:
    again, other = build(inputs, tmp_path / "again"), build(inputs, tmp_path / "other", seed=1)
    names = {path.name for path in model.iterdir()}
    assert names == {"model.safetensors", "config.json", "tokenizer.json", "history.parquet", "gradients.parquet"}
    for name in names - {"history.parquet"}:
        assert (again / name).read_bytes() == (model / name).read_bytes()
    assert (other / "model.safetensors").read_bytes() != (model / "model.safetensors").read_bytes()


def test_the_model_folder_is_self_contained(model: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(model, tmp_path / "elsewhere")
    part = documents(seed=2)
    texts = list(part)
    classifier = load_classifier(moved, "cpu")
    answers = classifier.log_probabilities(texts)
    assert classifier.label_names == LABELS
    assert classifier.vocabulary_digest == DIGEST
    assert (answers.dtype, answers.shape) == (np.float64, (len(texts), len(LABELS)))
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1)
    np.testing.assert_array_equal(answers, classifier.log_probabilities(texts))
    alone = np.concatenate([classifier.log_probabilities([text]) for text in texts])
    np.testing.assert_allclose(alone, answers, atol=1e-5)
    assert classifier.log_probabilities([]).shape == (0, len(LABELS))


def test_the_ui_leaves_out_metrics_that_the_objective_does_not_have(model: Path, tmp_path: Path) -> None:
    rows = pq.read_table(model / "history.parquet").to_pylist()
    absent = dict.fromkeys(("validation_window_accuracy", "validation_accuracy", "validation_macro_f1"))
    pq.write_table(pa.Table.from_pylist([row | absent for row in rows], HISTORY), tmp_path / "history.parquet")
    page = next(pages(tmp_path))
    assert isinstance(page, Markdown)
    assert "nan" not in page.text.rsplit("| epoch", 1)[1]
    whole, without = (training_curves(read_history(folder)) for folder in (model, tmp_path))
    assert len(whole) == len(without) + 1  # no curve of macro-F1
    history = {"train_loss": np.ones(3), "validation_macro_f1": np.array([np.nan, np.nan, 0.5])}
    assert len(training_curves(history)) == 1  # nor one of a single point among three epochs
    assert len(training_curves({name: values[-1:] for name, values in history.items()})) == 2


@pytest.mark.parametrize(("ids", "message"), [([], "no tokens"), ([3, VOCABULARY], "token ids 3 … 40")])
def test_texts_that_cannot_be_classified_are_named(model: Path, ids: list[int], message: str) -> None:
    with pytest.raises(CorpusError, match=f"text 1: .*{message}"):
        load_classifier(model, "cpu").log_probabilities([np.array([5]), np.array(ids, dtype=np.int64)])


def find_damage(folder: Path, kind: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    facts = json.loads(config.read_text())
    if kind == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif kind == "no weights":
        weights.unlink()
    elif kind == "other size":
        facts["architecture"]["hidden_size"] += 1
        config.write_text(json.dumps(facts))
    elif kind == "missing tensor":
        save_file({name: value for name, value in load_file(weights).items() if "bias" not in name}, weights)
    elif kind == "labels":
        config.write_text(json.dumps(facts | {"label_names": ["fable"]}))
    elif kind == "missing key":
        config.write_text(json.dumps({"label_names": LABELS}))
    else:
        config.write_text("[")


@pytest.mark.parametrize(
    "kind", ["truncated weights", "no weights", "other size", "missing tensor", "labels", "missing key", "no JSON"]
)
def test_a_damaged_model_folder_is_an_artifact_error(model: Path, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(model, tmp_path / "damaged")
    find_damage(folder, kind)
    with pytest.raises(ArtifactError, match=r"model\.safetensors|config\.json"):
        load_classifier(folder, "cpu")


def test_a_vocabulary_that_does_not_match_the_tokens_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "vocabulary"
    other.mkdir()
    (other / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtifactError, match="not the vocabulary that the tokens were made with"):
        build(inputs | {"vocabulary": other}, tmp_path)


def test_unsuitable_splits_are_refused_before_the_first_step() -> None:
    whole = documents()
    nothing = replace(whole, doc_ids=[], labels=whole.labels[:0], offsets=np.array([0]), bounds=np.array([0]))
    with pytest.raises(TrainingError, match="validation split has no documents"):
        check_split("validation", nothing)
    with pytest.raises(TrainingError, match=r"document 0-000 .* has no tokens"):
        check_split("train", replace(whole, offsets=np.concatenate([[0, 0], whole.offsets[2:]])))
    with pytest.raises(TrainingError, match=r"has token id \d+, but the vocabulary has 5 tokens"):
        check_split("train", replace(whole, vocabulary_size=5))
    in_runs = documents(run=4)
    largest = max(max(ids) for ids in in_runs)
    named = next(doc_id for doc_id, ids in zip(in_runs.doc_ids, in_runs, strict=True) if largest in ids)
    with pytest.raises(TrainingError, match=f"document {named} of the train split has token id {largest}, but"):
        check_split("train", replace(in_runs, vocabulary_size=largest))
    with pytest.raises(TrainingError, match="no training text has the label verse"):
        check_labels(replace(whole, label_names=(*LABELS, "verse")))
    with pytest.raises(TrainingError, match="the only label is fable"):
        check_labels(replace(whole, label_names=LABELS[:1]))


def test_a_training_that_does_not_fit_into_memory_is_refused_with_the_estimate() -> None:
    huge = small(batch_size=65_536, window=65_536, hidden_size=8192)
    with pytest.raises(TrainingError, match=r"about [\d.]+ GiB on cpu.*training.batch_size"):
        check_memory(needed_bytes(huge, 8000, 15, 10**6), CPU)
    check_memory(needed_bytes(small(), VOCABULARY, 3, 60), CPU)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mingru", "minlstm"])
def test_the_memory_estimate_of_a_step_is_near_the_truth(cell: str) -> None:
    settings = small(cell=cell, embedding_size=32, hidden_size=32, num_layers=2, window=64, batch_size=32)
    model = WindowClassifier(WindowArchitecture.of(settings, VOCABULARY, 3), Noise(0.1, 0.1, 0.1))
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(torch.randint(2, VOCABULARY, (64, 32)))
    estimate = needed_bytes(settings, VOCABULARY, 3, 1000)
    assert 0.9 < estimate / sum(kept.values()) < 3


def test_a_missing_device_is_named() -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(SettingsError, match=f"training.device: {missing} is not available here"):
        choose_device(missing)
    assert choose_device("auto").type in {"cuda", "mps", "cpu"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"stride": 13}, "stride 13 is larger than window 12"), ({"cell": "none", "skip": False}, "none needs skip")],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        small(**changes)


OTHERS = {
    "language": {"prediction_ratio": 0.5, "codebook_size": 8, "head_C": 1.0},
    "labels": {"pooling": "mean_max", "skip": False, "label_smoothing": 0.2, "stride": 3},
}
"""Settings that one objective alone reads."""


@pytest.mark.parametrize(
    ("objective", "name", "value"),
    [(objective, *item) for objective in OTHERS for settings in OTHERS.values() for item in settings.items()],
)
def test_a_setting_that_the_objective_does_not_read_retrains_nothing(objective: str, name: str, value: object) -> None:
    """Neither fingerprint nor checkpoints nor the model's configuration depend on it."""
    architecture: Any = SimpleNamespace(architecture=SimpleNamespace(as_json=dict))
    kept = {"epoch": 1, "precision": "float32"}

    def results(settings: TrainingSettings) -> list[object]:
        part = documents(1)
        config = model_config(settings, part, architecture, kept)
        return [stage.recipe(settings, {}).fingerprint, identity(settings, part, part), config]

    before, after = (results(small(objective=objective, **change)) for change in ({}, {name: value}))
    assert [one == two for one, two in zip(before, after, strict=True)] == [name not in OTHERS[objective]] * 3


def test_cached_files_count_as_free_memory_in_a_container(tmp_path: Path) -> None:
    assert device._free_cgroup_bytes(tmp_path) is None
    for name, text in {
        "max": "1000\n",
        "current": "900\n",
        "stat": "anon 300\nfile 600\nactive_file 250\ninactive_file 350\n",
    }.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert device._free_cgroup_bytes(tmp_path) == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert device._free_cgroup_bytes(tmp_path) is None
