"""An RNN that was of no use is left out, if the settings say so, until something that matters changes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Pipeline, write_corpus
from training_texts import small, write_inputs

from tasks.linear.settings import LinearSettings
from tasks.linear.task import fit_linear
from tasks.shared.checks.runner import run_contract
from tasks.shared.errors import ArtifactError
from tasks.stacking.settings import StackingSettings
from tasks.stacking.task import stack
from tasks.training import contract
from tasks.training.settings import TrainingLimits, TrainingSettings
from tasks.training.skipped import Verdict, judged_useless, read_skipped
from tasks.training.task import train

MODEL = {
    "weights": {"words": 1.0},
    "members": {"words": {}, "rnn": {}},
    "candidates": [{"member": "rnn", "gain": 0.001, "standard_error": 0.002, "joined": False}],
    "out_of_fold": {"documents": 90},
}


def write_model(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(MODEL | changes))
    return folder


def test_the_verdict_is_the_models(tmp_path: Path) -> None:
    verdict = judged_useless(write_model(tmp_path / "a"))
    assert verdict == Verdict(90, 0.001, 0.002)
    assert verdict.sentence() == (
        "on 90 labelled documents it did not join the stack (it lowered the log-loss by 0.0010 ± 0.0020)"
    )
    assert judged_useless(write_model(tmp_path / "b", weights={"rnn": 1.0})) is None
    assert judged_useless(write_model(tmp_path / "c", members={"words": {}})) is None
    bare = judged_useless(write_model(tmp_path / "d", candidates=[]))
    assert bare is not None
    assert bare.sentence() == "on 90 labelled documents it did not join the stack"
    with pytest.raises(ArtifactError, match=r"set training\.when_useless to keep"):
        judged_useless(write_model(tmp_path / "e", out_of_fold={}))


def test_what_is_left_out_can_be_checked_and_stacked(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path, per_label=10)
    for name in ("linear", "training", "model"):
        (tmp_path / name).mkdir()
    judged = write_model(tmp_path / "judged")
    summary = train.function(small(), tmp_path / "training", **inputs, scratch=tmp_path / "scratch", judged=judged)
    assert summary["rows"] == 0
    assert read_skipped(tmp_path / "training") == Verdict(90, 0.001, 0.002)
    results = run_contract(contract, tmp_path / "training", {}, small(), TrainingLimits())
    assert [result.reason for result in results if not result.success] == []
    texts = {"cleaned": inputs["cleaned"], "splits": inputs["splits"]}
    (tmp_path / "fits").mkdir()
    fit_linear.function(LinearSettings(), tmp_path / "linear", **texts, scratch=tmp_path / "fits")
    stack.function(StackingSettings(), tmp_path / "model", linear=tmp_path / "linear", training=tmp_path / "training")
    model = json.loads((tmp_path / "model/model.json").read_text())
    assert set(model["members"]) == {"words", "characters", "counts"}
    assert model["not_trained"] == {"rnn": {"documents": 90, "gain": 0.001, "standard_error": 0.002}}
    assert judged_useless(tmp_path / "model") is None
    with pytest.raises(ArtifactError, match="the RNN is part of this model"):
        train.function(small(), tmp_path, **inputs, scratch=tmp_path, judged=tmp_path / "model")


def test_the_setting_is_not_part_of_a_fingerprint() -> None:
    assert TrainingSettings(when_useless="skip").cache_values() == TrainingSettings().cache_values()


def test_a_useless_rnn_is_left_out_until_the_corpus_has_grown(pipeline: Pipeline) -> None:
    by_hand = {"when": "by_hand"}  # so that no champion keeps what the verdict rests on
    samples = {f"{name}_max_megabytes": 0.006 for name in ("words", "characters", "counts")}
    training = {"when_useless": "skip", "max_megabytes": 0.006}  # of all texts, not of those in the samples, it depends
    useless = {"min_standard_errors": 100}
    pipeline.configure(training=training, linear=samples, stacking=useless, promotion=by_hand)
    assert pipeline.statuses()["training"] == "built"
    first = pipeline.stage_path("stacking")
    assert "rnn" not in json.loads((first / "model.json").read_text())["weights"]
    assert set(pipeline.statuses().values()) == {"reused"}

    more = pipeline.root / "more"
    write_corpus(more, documents=2, seed=1)
    for path in sorted(more.rglob("*.txt")):
        path.rename(pipeline.texts / path.parent.name / f"more-{path.name}")
    result = pipeline("run", "--json")
    assert result.code == 0, result.err
    assert re.search(r"training: the RNN is not trained: on 1\d labelled documents it did not join", result.err)
    assert re.search(r"of labelled documents there were 33 then, and there are 3\d now", result.err)
    skipped = pipeline.stage_path("training")
    assert (skipped / "skipped.json").exists()
    assert pq.read_metadata(skipped / "history.parquet").num_rows == 0
    assert "inputs judged: absent → " in pipeline("why", "training").out
    assert "The RNN was not trained (training.when_useless: skip): on 1" in (
        (pipeline.stage_path("evaluation") / "report.html").read_text()
    )
    assert result.json["metrics"]["members"].keys() == {"words", "characters", "counts"}
    assert set(pipeline.statuses().values()) == {"reused"}
    assert pipeline("prune", "--keep", "1").code == 0
    assert first.exists()  # the verdict rests on it
    assert pipeline("predict", "--explain", str(next(pipeline.texts.rglob("*.txt")))).code == 0

    other_seed = pipeline.statuses("--set", "training.seed=7")
    assert (other_seed["training"], other_seed["stacking"]) == ("built", "reused")
    assert (pipeline.stage_path("training") / "skipped.json").exists()
    assert pipeline.statuses("--set", "training.epochs=1")["training"] == "built"
    assert not (pipeline.stage_path("training") / "skipped.json").exists()
    write_corpus(pipeline.texts, documents=24, seed=2)
    pipeline.statuses()
    assert not (pipeline.stage_path("training") / "skipped.json").exists()
