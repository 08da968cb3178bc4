"""Weights of members, and the model folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_texts import small, write_inputs

from tasks.linear.settings import LinearSettings
from tasks.linear.task import fit_linear
from tasks.shared.errors import ArtifactError
from tasks.shared.statistics.log_probabilities import Scores, best_scale, log_loss, log_softmax
from tasks.stacking.settings import StackingLimits, StackingSettings
from tasks.stacking.stacked import StackedClassifier
from tasks.stacking.task import stack
from tasks.stacking.weights import combine, fit_stack, fit_weights
from tasks.training.task import train

LABELS = np.random.default_rng(0).integers(0, 3, 600)


def member(seed: int, signal: float) -> Scores:
    """Noise, and `signal` at the true label."""
    logits = np.random.default_rng(seed).normal(size=(600, 3))
    logits[np.arange(600), LABELS] += signal
    return log_softmax(logits)


def test_a_useless_member_is_left_out_and_a_useful_one_joins() -> None:
    scores = {"good": member(1, 2), "useless": member(2, 0), "other": member(3, 1.5)}
    stacked = fit_stack(scores, LABELS, list(scores))
    assert set(stacked.weights) == {"good", "other"}
    assert {one.member: one.joined for one in stacked.candidates} == {"useless": False, "other": True}
    assert log_loss(combine(scores, stacked.weights), LABELS) < log_loss(scores["good"], LABELS) - 0.05
    strict = fit_stack(scores, LABELS, list(scores), min_standard_errors=100)
    assert set(strict.weights) == {"good"}


def test_no_small_change_of_the_weights_lowers_the_loss() -> None:
    scores = {"a": member(1, 2), "b": member(3, 1)}
    weights = fit_weights(scores, ["a", "b"], LABELS)
    best = log_loss(combine(scores, weights), LABELS)
    for name in weights:
        for step in (-0.05, 0.05):
            assert log_loss(combine(scores, weights | {name: weights[name] + step}), LABELS) >= best - 1e-4


def test_faultless_predictions_ask_for_no_infinite_scale() -> None:
    perfect = log_softmax(np.eye(3)[LABELS] * 5)
    assert 0.5 < best_scale(perfect, LABELS) < 10
    assert fit_weights({"a": perfect}, ["a"], LABELS)["a"] < 10


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("stages")
    inputs = write_inputs(root, per_label=10)
    for name in ("linear", "training", "model"):
        (root / name).mkdir()
    texts = {"cleaned": inputs["cleaned"], "splits": inputs["splits"]}
    fit_linear.function(LinearSettings(), root / "linear", **texts, scratch=root / "linear-scratch")
    train.function(small(epochs=4), root / "training", **inputs, scratch=root / "scratch")
    stack.function(
        StackingSettings(min_standard_errors=0), root / "model", linear=root / "linear", training=root / "training"
    )
    return inputs | {name: root / name for name in ("linear", "training", "model")}


def test_the_model_folder_stands_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    model = json.loads((folders["model"] / "model.json").read_text())
    assert {path.name for path in folders["model"].iterdir()} == {"model.json", *model["weights"]}
    assert model["label_names"] == ["fable", "news", "recipe"]
    assert model["out_of_fold"]["accuracy"] > 0.7
    moved = folders["model"].rename(tmp_path / "elsewhere")
    classifier = StackedClassifier.load(moved, "cpu")
    answers = classifier.log_probabilities(["wa wb wc wd", "", "ku"])
    assert classifier.label_names[answers[0].argmax()] == "fable"
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1, rtol=1e-5)
    moved.rename(folders["model"])


def test_the_checks_pass_and_notice_damage(folders: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    from tasks.linear import contract as linear_contract
    from tasks.linear.settings import LinearLimits
    from tasks.shared.checks.runner import run_contract
    from tasks.stacking import contract

    results = run_contract(contract, folders["model"], {}, StackingSettings(), StackingLimits())
    texts = {"cleaned": folders["cleaned"], "splits": folders["splits"]}
    results += run_contract(linear_contract, folders["linear"], texts, LinearSettings(), LinearLimits())
    assert [result.reason for result in results if not result.success] == []
    copy = shutil.copytree(folders["model"], tmp_path / "copy")
    shutil.rmtree(next(path for path in copy.iterdir() if path.is_dir()))
    with pytest.raises(ArtifactError, match="train again"):
        run_contract(contract, copy, {}, StackingSettings(), StackingLimits())


def test_a_folder_of_an_older_version_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"made by an older version; train again$"):
        StackedClassifier.load(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 99}')
    with pytest.raises(ArtifactError, match=r"made by another version; train again$"):
        StackedClassifier.load(tmp_path)


def test_without_the_rnn_nothing_imports_torch(folders: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folders["linear"] / "words", tmp_path / "words")
    model = {"format": 1, "label_names": ["fable", "news", "recipe"], "weights": {"words": 1.0}}
    (tmp_path / "model.json").write_text(json.dumps(model))
    code = (
        "import sys; from pathlib import Path; from tasks.stacking.stacked import StackedClassifier;"
        "StackedClassifier.load(Path(sys.argv[1])).log_probabilities(['wa']);"
        "print(sorted({'torch', 'sklearn'} & set(sys.modules)))"
    )
    project = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
