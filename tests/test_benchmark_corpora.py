"""The benchmark of corpora with published splits: what it runs, and what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import PROJECT

from flows.pipeline.settings import load_settings

KEYS = ["corpus", "seed", "accuracy", "macro_f1", "log_loss", "members", "without", "seconds", "peak_mib"]


@pytest.fixture(autouse=True)
def _benchmarks_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT)


def record(accuracy: float) -> dict[str, Any]:
    baselines = {"majority": {"accuracy": 0.5, "macro_f1": 0.25}}
    model = {"accuracy": accuracy, "macro_f1": 0.7, "calibration": {"log_loss": 0.6}}
    return {
        "metrics": {**model, "documents": 40, "labels": ["a", "b"], "baselines": baselines},
        "seconds": 9.5,
        "peak_mib": 700,
    }


def test_a_result_has_the_keys_that_scripts_read():
    from benchmarks import corpora

    found = corpora.result("mr", 2, record(0.75))
    assert list(found) == KEYS
    assert (found["accuracy"], found["macro_f1"], found["log_loss"]) == (0.75, 0.7, 0.6)
    assert (found["corpus"], found["seed"], found["members"], found["without"]) == ("mr", 2, {}, {})


def test_the_table_has_seeds_their_mean_and_baselines():
    from benchmarks import corpora

    rows = corpora.lines("mr", [record(0.75), record(0.65)])
    assert rows[0] == "mr: 40 test texts, 2 labels"
    assert [row.split()[:4] for row in rows[2:5]] == [
        ["model,", "seed", "0", "0.7500"],
        ["model,", "seed", "1", "0.6500"],
        ["model,", "mean", "of", "2"],
    ]
    assert "0.7000" in rows[4]
    assert rows[5].split() == ["majority", "0.5000", "0.2500"]


def test_the_settings_are_the_defaults_but_for_the_published_splits(tmp_path: Path):
    from benchmarks import corpora

    corpora.write_settings("mr", tmp_path / "mr.parquet", tmp_path)
    settings = load_settings(tmp_path / "pipeline.yaml")
    assert settings.extraction.table.split_column == "split"
    assert settings.cleaning.duplicates.exact == "keep"


def test_rows_without_a_value_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from benchmarks import corpora

    file, folder = tmp_path / "r52.parquet", tmp_path / "run"
    folder.mkdir()
    rows = [{"doc_id": str(n), "label": "a", "split": "train", "text": f"text {n}"} for n in range(3)]
    pd.DataFrame(rows).to_parquet(file)
    assert corpora.complete_rows(file, folder) == file
    pd.DataFrame([*rows, rows[0] | {"label": None}]).to_parquet(file)
    copy = corpora.complete_rows(file, folder)
    assert copy == folder / "r52.parquet"
    assert list(pd.read_parquet(copy)["doc_id"]) == ["0", "1", "2"]
    assert "r52.parquet: left out rows without a value: 1" in capsys.readouterr().err
    pd.DataFrame({"text": ["a"], "label": ["b"]}).to_parquet(file)
    with pytest.raises(SystemExit, match="no column doc_id, split; a corpus has doc_id, label, split, text"):
        corpora.complete_rows(file, folder)


@pytest.mark.parametrize(("options", "message"), [([], "no .parquet file"), (["--only", "mr"], "no .parquet file")])
def test_a_folder_without_corpora_is_named(tmp_path: Path, options: list[str], message: str):
    done = run(str(tmp_path), *options)
    assert (done.returncode, message in done.stderr) == (2, True)


@pytest.mark.slow
def test_a_corpus_runs_through_the_pipeline_with_its_own_splits(tmp_path: Path):
    rows = [
        {
            "doc_id": f"{n:03d}",
            "label": "ab"[n % 2],
            "split": "test" if n >= 60 else "train",
            "text": f"the number {n} " + " ".join([f"{word}{n % 2}" for word in ("apple", "river", "stone")] * 9),
        }
        for n in range(90)
    ]
    (tmp_path / "corpora").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "corpora" / "tiny.parquet")
    settings = (
        "training.epochs=1",
        "training.hidden_size=8",
        "vocabulary.size=400",
        "evaluation.bootstrap_samples=100",
    )
    assert run(str(tmp_path / "corpora"), "--only", "other").returncode == 2
    options = ("--set", *settings, "--json", "--data", str(tmp_path / "data"))
    done = run(str(tmp_path / "corpora"), *options)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert list(found) == KEYS
    assert found["peak_mib"] > 100
    predictions = pd.read_parquet(tmp_path / "data/tiny/data/08_reports/latest/predictions.parquet")
    assert set(predictions["doc_id"]) == {row["doc_id"] for row in rows if row["split"] == "test"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.corpora", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=280, check=False)
