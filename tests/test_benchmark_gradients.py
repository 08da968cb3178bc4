"""The benchmark of gradients runs and reports correct numbers."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _benchmarks_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1])


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
