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
from tasks.training.schema import HISTORY
from tasks.training.settings import TrainingLimits
from tasks.training.task import train


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    folder = tmp_path_factory.mktemp("made")
    inputs = write_inputs(folder)
    (folder / "out").mkdir()
    train.function(small(), folder / "out", **inputs, scratch=folder / "scratch")
    return folder / "out", inputs


def failures(artifact: Path, inputs: dict[str, Path], limits: TrainingLimits, pages: Path) -> set[tuple[str, str]]:
    """(batch, column or expectation) of each failure."""
    from tasks.shared.checks.runner import run_contract
    from tasks.training import contract

    results = run_contract(contract, artifact, inputs, small(), limits, pages)
    return {
        (result.batch, str(result.arguments.get("column", result.expectation)))
        for result in results
        if not result.success
    }


def test_a_good_model_passes(made: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    assert failures(*made, TrainingLimits(), tmp_path) == set()


def test_a_bias_may_be_zero(made: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    artifact, inputs = made
    copy = shutil.copytree(artifact, tmp_path / "copy")
    weights(lambda tensors: tensors["classifier.bias"].fill(0))(copy)
    assert failures(copy, inputs, TrainingLimits(), tmp_path / "pages") == set()


def history(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def damage(artifact: Path) -> None:
        path = artifact / "history.parquet"
        rows = change(pd.read_parquet(path)).to_dict("records")
        pq.write_table(pa.Table.from_pylist(rows, schema=HISTORY), path)

    return damage


def weights(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path], None]:
    def damage(artifact: Path) -> None:
        tensors = load_file(artifact / "model.safetensors")
        change(tensors)
        save_file(tensors, artifact / "model.safetensors")

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], None], set[tuple[str, str]]]] = {
    "loss is NaN": (history(lambda rows: rows.assign(train_loss=np.nan)), {("history", "train_loss")}),
    "loss is infinite": (history(lambda rows: rows.assign(validation_loss=np.inf)), {("history", "validation_loss")}),
    "exploded": (history(lambda rows: rows.assign(gradient_norm_max=1e9)), {("history", "gradient_norm_max")}),
    "no speed": (history(lambda rows: rows.assign(tokens_per_second=0)), {("history", "tokens_per_second")}),
    "too many epochs": (
        history(lambda rows: pd.concat([rows, rows.assign(epoch=rows["epoch"] + 4, kept=False)])),
        {("history", "expect_table_row_count_to_be_between")},
    ),
    "no epoch kept": (
        history(lambda rows: rows.assign(kept=False)),
        {("kept epoch", "expect_table_row_count_to_equal")},
    ),
    "worse than the commonest label": (
        history(lambda rows: rows.assign(validation_accuracy=0.0)),
        {("kept epoch", "gain")},
    ),
    "NaN in a weight": (
        weights(lambda tensors: tensors["classifier.weight"].__setitem__((0, 0), np.nan)),
        {("weights", "not_finite")},
    ),
    "a tensor of zeros": (
        weights(lambda tensors: tensors["classifier.weight"].fill(0)),
        {("matrices", "largest")},
    ),
    "no tokenizer": (lambda artifact: (artifact / "tokenizer.json").unlink(), {("files", "bytes")}),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_bad_model_is_stopped(made: tuple[Path, dict[str, Path]], tmp_path: Path, kind: str) -> None:
    artifact, inputs = made
    damage, expected = DAMAGES[kind]
    copy = shutil.copytree(artifact, tmp_path / "copy")
    damage(copy)
    assert failures(copy, inputs, TrainingLimits(), tmp_path / "pages") == expected


@pytest.mark.parametrize(
    ("texts", "limit", "behind", "holds"),
    [
        (6, -0.1, 2, True),  # a third of the texts, and yet by chance
        (6, -0.1, 3, False),
        (7, -0.1, 2, True),
        (30, -0.1, 3, True),
        (30, -0.1, 4, False),
        (6, 0.0, 0, True),
        (6, 0.0, 1, False),  # a limit of zero or more is exact
        (6, 0.5, -3, True),
        (6, 0.5, -2, False),
    ],
)
def test_a_limit_below_zero_allows_for_chance(texts: int, limit: float, behind: int, holds: bool) -> None:
    from tasks.training.contract import kept_epoch

    share = 2 / 3
    history = pd.DataFrame({"kept": [True, False], "validation_accuracy": [share - behind / texts, None]})
    batch = kept_epoch(history, share, texts, TrainingLimits(min_gain_over_majority=limit))
    (floor,) = (one for one in batch.expectations if getattr(one, "column", None) == "gain")
    assert (batch.frame["gain"] >= floor.min_value).tolist() == [holds]
    if limit < 0:
        assert f"{max(2, texts // 10)} texts fewer right (of {texts} in the validation split)" in floor.notes


def test_a_minimum_accuracy_is_checked_if_it_is_given(made: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    limits = TrainingLimits(min_validation_accuracy=1.0)
    assert failures(*made, limits, tmp_path) == {("kept epoch", "validation_accuracy")}


def test_unreadable_weights_are_an_artifact_error(made: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    artifact, inputs = made
    copy = shutil.copytree(artifact, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(ArtifactError, match=r"model\.safetensors: not readable"):
        failures(copy, inputs, TrainingLimits(), tmp_path / "pages")
