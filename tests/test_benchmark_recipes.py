"""The benchmarks of gradients and of the tutorials' recipe run and report correct numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_texts import small, write_inputs


@pytest.fixture(autouse=True)
def _benchmarks_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1])


def test_the_tutorials_recipe_is_compared_to_ours(tmp_path: Path) -> None:
    from benchmarks import tutorial_recipe

    inputs = write_inputs(tmp_path, per_label=8)
    settings = small(epochs=6, cell="none", learning_rate=0.05, dropout=0)
    rows = tutorial_recipe.measure(settings, inputs["tokens"], inputs["vocabulary"], tmp_path, epochs=3)
    assert [(row["recipe"], row["epoch"]) for row in rows if "epoch" in row] == [
        *(("tutorial", number) for number in (1, 2, 3)),
        *(("ours", number) for number in range(1, 7)),
    ]
    best = max(row["validation accuracy"] for row in rows if row["recipe"] == "tutorial")
    kept, ours, reaching, passing = (row for row in rows if "epoch" not in row)
    assert kept["validation accuracy"] == best
    assert ours["test accuracy"] > 0.5
    first = next(row for row in rows if row["recipe"] == "tutorial" and row["validation accuracy"] == best)
    assert reaching["seconds tutorial"] == first["seconds so far"]
    assert passing["seconds tutorial"] == sum(row["seconds"] for row in rows if row["recipe"] == "tutorial")
    assert passing["seconds ours"] >= reaching["seconds ours"]
    for row in (reaching, passing):
        assert row["times sooner"] == pytest.approx(row["seconds tutorial"] / row["seconds ours"])


def test_epochs_without_labels_count_for_time_but_not_for_accuracy() -> None:
    from benchmarks.tutorial_recipe import Epoch, until

    assert until([Epoch(2, float("nan")), Epoch(3, 0.1), Epoch(4, 0.3)], 0.2) == 9
    assert until([Epoch(2, 0.1)], 0.2) is None


def test_the_gradient_profile_of_every_cell_is_measured_and_drawn(tmp_path: Path) -> None:
    from benchmarks import gradients

    runs = list(gradients.measure(steps=1))
    rows = [row for run in runs for row in run.rows()]
    assert {row["cell"] for row in rows if row["when"] == "trained"} == {"rnn", "gru", "lstm", "mingru", "minlstm"}
    exploding = next(row for row in rows if "× 4" in row["cell"])
    assert exploding["256 to 1"] > 1e6
    assert all(row["256 to 1"] < 1e-20 for row in rows if row["when"] == "untrained" and row is not exploding)
    gradients.draw(runs, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
