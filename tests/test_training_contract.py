"""The check after training passes a good model folder and stops each kind of bad one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file
from training_texts import small, write_inputs

from tasks.shared.errors import ArtifactError
from tasks.shared.out_of_fold import OUT_OF_FOLD, OutOfFold
from tasks.training.schema import HISTORY
from tasks.training.settings import TrainingLimits
from tasks.training.task import train


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    folder = tmp_path_factory.mktemp("made")
    inputs = write_inputs(folder, per_label=10)
    (folder / "out").mkdir()
    train.function(small(epochs=4), folder / "out", **inputs, scratch=folder / "scratch")
    return folder / "out", inputs


def failures(artifact: Path, inputs: dict[str, Path], limits: TrainingLimits) -> set[tuple[str, str]]:
    """(batch, column or expectation) of each failure."""
    from tasks.shared.checks.runner import run_contract
    from tasks.training import contract

    results = run_contract(contract, artifact, inputs, small(epochs=4), limits)
    return {
        (result.batch, str(result.arguments.get("column", result.expectation)))
        for result in results
        if not result.success
    }


def test_a_good_model_passes(made: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    assert failures(*made, TrainingLimits()) == set()


def test_a_bias_may_be_zero(made: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    artifact, inputs = made
    copy = shutil.copytree(artifact, tmp_path / "copy")
    weights(lambda tensors: tensors["0.output.bias"].fill(0))(copy)
    assert failures(copy, inputs, TrainingLimits()) == set()


def history(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def damage(artifact: Path) -> None:
        path = artifact / "history.parquet"
        rows = change(pd.read_parquet(path)).to_dict("records")
        pq.write_table(pa.Table.from_pylist(rows, schema=HISTORY), path)

    return damage


def weights(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path], None]:
    def damage(artifact: Path) -> None:
        tensors = load_file(artifact / "rnn" / "networks.safetensors")
        change(tensors)
        save_file(tensors, artifact / "rnn" / "networks.safetensors")

    return damage


def out_of_fold(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(artifact: Path) -> None:
        path = artifact / "rnn.out-of-fold.parquet"
        rows = pq.read_table(path).to_pylist()
        scores = change(np.array([row["log_probabilities"] for row in rows], np.float32))
        changed = [row | {"log_probabilities": some.tolist()} for row, some in zip(rows, scores, strict=True)]
        pq.write_table(pa.Table.from_pylist(changed, schema=OUT_OF_FOLD), path)

    return damage


def predicted(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def damage(artifact: Path) -> None:
        path = artifact / "rnn.out-of-fold.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return damage


LOST = ("texts", "expect_column_pair_values_to_be_equal")
DAMAGES: dict[str, tuple[Callable[[Path], None], set[tuple[str, str]]]] = {
    "loss is NaN": (history(lambda rows: rows.assign(train_loss=np.nan)), {("history", "train_loss")}),
    "loss is infinite": (history(lambda rows: rows.assign(validation_loss=np.inf)), {("history", "validation_loss")}),
    "exploded": (history(lambda rows: rows.assign(gradient_norm_max=1e9)), {("history", "gradient_norm_max")}),
    "no speed": (history(lambda rows: rows.assign(tokens_per_second=0)), {("history", "tokens_per_second")}),
    "too many epochs": (
        history(lambda rows: pd.concat([rows, rows.assign(epoch=rows["epoch"] + 4)])),
        {("history", "expect_table_row_count_to_be_between")},
    ),
    "worse than the commonest label": (
        out_of_fold(lambda scores: np.roll(scores, 1, axis=1)),
        {("out of fold", "gain")},
    ),
    "a text without a prediction": (
        out_of_fold(lambda scores: np.where(np.arange(len(scores))[:, None] == 0, np.nan, scores)),
        {("out of fold", "not_finite")},
    ),
    "a lost text": (predicted(lambda table: table.slice(1)), {LOST, ("texts", "other_texts")}),
    "a repeated text": (
        predicted(lambda table: table.take([0, *range(table.num_rows)])),
        {LOST, ("texts", "other_texts"), ("out of fold", "repeated")},
    ),
    "NaN in a weight": (
        weights(lambda tensors: tensors["0.output.weight"].__setitem__((0, 0), np.nan)),
        {("weights", "not_finite")},
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_bad_model_is_stopped(made: tuple[Path, dict[str, Path]], tmp_path: Path, kind: str) -> None:
    artifact, inputs = made
    damage, expected = DAMAGES[kind]
    copy = shutil.copytree(artifact, tmp_path / "copy")
    damage(copy)
    assert failures(copy, inputs, TrainingLimits()) == expected


@pytest.mark.parametrize(
    ("texts", "limit", "behind", "holds"),
    [
        (6, -0.1, 2, True),  # a third of the texts, and yet by chance
        (6, -0.1, 3, False),
        (9, -0.1, 2, True),
        (30, -0.1, 3, True),
        (30, -0.1, 4, False),
        (6, 0.0, 0, True),
        (6, 0.0, 1, False),  # a limit of zero or more is exact
        (6, 0.3, -2, True),
        (6, 0.3, -1, False),
    ],
)
def test_a_limit_below_zero_allows_for_chance(texts: int, limit: float, behind: int, holds: bool) -> None:
    from tasks.training.contract import out_of_fold as batch_of

    common, right = texts * 2 // 3, texts * 2 // 3 - behind
    labels = np.array([0] * common + [1] * (texts - common))
    predicted = np.array([label if number < right else 1 - label for number, label in enumerate(labels)])
    scores = np.log(np.where(np.eye(2)[predicted] == 1, 0.9, 0.1)).astype(np.float32)
    names = [str(number) for number in range(texts)]
    batch = batch_of(OutOfFold(names, labels, scores), TrainingLimits(min_gain_over_majority=limit))
    (floor,) = (one for one in batch.expectations if getattr(one, "column", None) == "gain")
    assert (batch.frame["gain"] >= floor.min_value).tolist() == [holds]
    if limit < 0:
        assert f"{max(2, texts // 10)} texts fewer right (of {texts})" in floor.notes


def test_a_minimum_accuracy_is_checked_if_it_is_given(made: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    limits = TrainingLimits(min_accuracy=1.0)
    assert failures(*made, limits) == {("out of fold", "accuracy")}


def test_unreadable_weights_are_an_artifact_error(made: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    artifact, inputs = made
    copy = shutil.copytree(artifact, tmp_path / "copy")
    (copy / "rnn" / "networks.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(ArtifactError, match=r"networks\.safetensors: not readable"):
        failures(copy, inputs, TrainingLimits())
