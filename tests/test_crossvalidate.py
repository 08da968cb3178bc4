"""Repeated cross-validation: the same folds for all models, nothing learned from the test split, correct scores."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Pipeline, Result, write_corpus
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from flows.cli.tables import show_crossvalidation
from tasks.evaluation.crossvalidation import FoldPredictions, lead, measures, sign_flip, summarise
from tasks.evaluation.results import Resampling
from tasks.shared.statistics.bootstrap import interval, mcnemar, resamples

BASELINES = {
    "majority",
    "naive_bayes",
    "tfidf_svm",
    "tfidf_svm_balanced",
    "tfidf_char_svm",
}
COMMAND = ("crossvalidate", "--folds", "3", "--seed", "7")


def crossvalidated(pipeline: Pipeline, *arguments: str) -> dict:
    result = pipeline(*COMMAND, *arguments, "--json")
    assert result.code == 0, result.err
    return result.json


def latest(pipeline: Pipeline) -> dict[str, str]:
    return {path.parent.name: str(path.readlink()) for path in pipeline.data.glob("*/latest")}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]) -> Pipeline:
    """A small corpus; tests must not change its folds."""
    root = tmp_path_factory.mktemp("folds")
    write_corpus(root / "texts", labels=2, documents=9)
    made = Pipeline(root, prefect_server)
    made.configure(training={"epochs": 1})
    return made


@pytest.fixture(scope="module")
def result(done: Pipeline) -> Result:
    """The result of the first call."""
    return done(*COMMAND, "--json")


@pytest.fixture(scope="module")
def found(result: Result) -> dict:
    assert result.code == 0, result.err
    return result.json


@pytest.fixture(scope="module")
def predictions(found: dict) -> pd.DataFrame:
    return pd.read_parquet(Path(found["path"]).with_suffix(".parquet"))


def test_the_result_is_one_object_and_is_kept(found: dict):
    assert json.loads(Path(found["path"]).read_text()) == {k: v for k, v in found.items() if k != "path"}
    assert (found["documents"], found["repeats"], found["seed"], len(found["folds"])) == (18, 1, 7, 3)
    for measure in ("accuracy", "macro_f1"):
        assert 0 <= found[measure]["low"] <= found[measure]["mean"] <= found[measure]["high"] <= 1
    assert found["seconds_per_fold"] > 0
    assert set(found["baselines"]) == BASELINES
    for baseline in found["baselines"].values():
        assert 0 <= baseline["p_value"] <= 1
        low, high = baseline["macro_f1_difference_interval"]
        assert low <= found["macro_f1"]["mean"] - baseline["macro_f1"] + 1e-12
        assert high >= found["macro_f1"]["mean"] - baseline["macro_f1"] - 1e-12
    assert {label: scores["support"] for label, scores in found["per_label"].items()} == {"label0": 9, "label1": 9}


def test_a_fold_trains_one_model_and_moves_no_link(done: Pipeline, found: dict):
    assert [fold["status"] for fold in found["folds"]] == ["built"] * 3
    assert latest(done) == {}
    assert len(list((done.data / "07_models").glob("[0-9a-f]*"))) == 3


def test_every_document_is_tested_once_a_repeat_in_scikit_learns_folds(done: Pipeline, predictions: pd.DataFrame):
    assert len(predictions) == predictions["doc_id"].nunique() == 18
    cleaned = pd.concat(map(pd.read_parquet, (done.data / "02_cleaned").glob("[0-9a-f]*/documents")))
    ordered = predictions.merge(cleaned[["doc_id", "digest"]], on="doc_id").sort_values("digest")
    folds = StratifiedKFold(3, shuffle=True, random_state=7).split(ordered, ordered["label"])
    for number, (_, test) in enumerate(folds):
        assert set(ordered.iloc[test]["fold"]) == {number}


def test_model_and_baselines_predict_the_same_documents(found: dict, predictions: pd.DataFrame):
    assert {"repeat", "fold", "doc_id", "label", "predicted", *BASELINES} == set(predictions)
    assert found["accuracy"]["mean"] == pytest.approx((predictions["predicted"] == predictions["label"]).mean())
    for name in BASELINES:
        assert found["baselines"][name]["accuracy"] == pytest.approx((predictions[name] == predictions["label"]).mean())
    for fold in found["folds"]:
        report = pd.read_parquet(Path(fold["report"]) / "predictions.parquet")
        assert fold["accuracy"] == pytest.approx((report["predicted"] == report["label"]).mean())


def test_a_folds_vocabulary_is_learned_from_its_training_texts_only(done: Pipeline, found: dict):
    digests = set()
    for fold in found["folds"]:
        lineage = json.loads((Path(fold["report"]) / "artifact.json").read_text())["lineage"]
        splits = pd.read_parquet(done.data / "03_splits" / lineage["splitting"]["fingerprint"] / "splits")
        cleaned = pd.read_parquet(done.data / "02_cleaned" / lineage["cleaning"]["fingerprint"] / "documents")
        train = set(splits[splits["split"] == "train"]["doc_id"])
        vocabulary = done.data / "04_vocabulary" / lineage["vocabulary"]["fingerprint"]
        digests.add((vocabulary / "tokenizer.json").read_bytes())
        tokens = pd.read_parquet(vocabulary / "tokens")
        seen = (tokens["count"] * tokens["bytes"].str.len()).sum()
        assert not train & set(pd.read_parquet(Path(fold["report"]) / "predictions.parquet")["doc_id"])
        assert seen == cleaned[cleaned["doc_id"].isin(train)]["text"].str.encode("utf-8").str.len().sum()
    assert len(digests) == 3


def test_people_get_a_table_and_a_line_per_fold(found: dict, result: Result, capsys: pytest.CaptureFixture[str]):
    show_crossvalidation(found)
    shown = capsys.readouterr().out
    for word in ("model", "tfidf_char_svm", "macro-F1", "label1", "3 folds × 1, 18 texts"):
        assert word in shown
    assert "crossvalidate: 3 of 3 folds" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "2"], "2 is not in the range 3<=x<=100"),
        (["--folds", "10"], "too few texts for 10 folds, at least 10 are needed: 'label0' (9 texts)"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--set", "splitting=3"], "splitting: given 3"),
    ],
)
def test_mistakes_are_named(done: Pipeline, arguments: list[str], message: str):
    result = done("crossvalidate", *arguments)
    assert result.code == 2, result.err
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_finished_folds_are_reused(done: Pipeline, found: dict):
    again = crossvalidated(done)
    figures = [name for name in found if name not in {"run", "path", "folds"}]
    assert {name: again[name] for name in figures} == {name: found[name] for name in figures}
    assert [fold["status"] for fold in again["folds"]] == ["reused"] * 3
    both = crossvalidated(done, "--repeats", "2")
    assert [fold["status"] for fold in both["folds"]] == ["reused"] * 3 + ["built"] * 3
    assert [(fold["repeat"], fold["fold"], fold["seed"]) for fold in both["folds"]] == [
        (repeat, fold, 7 + repeat) for repeat in range(2) for fold in range(3)
    ]
    rows = pd.read_parquet(Path(both["path"]).with_suffix(".parquet"))
    assert rows.groupby("repeat")["doc_id"].nunique().tolist() == [18, 18]
    once, again = (rows[rows["repeat"] == repeat].set_index("doc_id")["fold"] for repeat in range(2))
    assert (once != again.reindex(once.index)).any()
    assert both["accuracy"]["mean"] == pytest.approx(np.mean([f["accuracy"] for f in both["folds"]]))


@pytest.mark.slow
def test_the_first_fold_that_fails_ends_the_run(done: Pipeline, found: dict):
    assert len(found["folds"]) == 3
    refused = done(*COMMAND, "--set", "checks.training.max_gradient_norm=1e-9")
    assert refused.code == 1
    assert "check of training failed" in refused.err.splitlines()[-1]


@pytest.mark.slow
def test_ctrl_c_stops_a_fold_with_one_line(done: Pipeline, found: dict):
    assert len(found["folds"]) == 3
    with done.start(*COMMAND, "--seed", "11") as process:
        lines = iter(process.stderr or ())
        assert any("cleaning: reused" in line for line in lines)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        rest = "".join(lines)
    assert process.returncode == 130
    assert "Traceback" not in rest
    last = "corpusflow: interrupted; no file is half-written, and the next run continues from here"
    assert rest.splitlines()[-1] == last


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_a_killed_run_only_the_missing_folds_are_built(pipeline: Pipeline):
    assert set(pipeline.statuses().values()) == {"built"}
    links = latest(pipeline)
    process = pipeline.start(*COMMAND)
    until = time.monotonic() + 200
    while len(list((pipeline.data / "08_reports").glob("[0-9a-f]*"))) < 3 and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=200)  # the workers hold standard error: they end too
    statuses = [fold["status"] for fold in crossvalidated(pipeline)["folds"]]
    assert "reused" in statuses
    assert latest(pipeline) == links
    assert pipeline("verify").code == 0


def test_the_sign_flip_test_is_mcnemars_with_one_repeat():
    for model, baseline in itertools.product(range(6), range(9)):
        differences = np.repeat([1, -1, 0], [model, baseline, 4])
        assert sign_flip(differences) == pytest.approx(mcnemar(model, baseline))
    assert sign_flip(np.repeat([1, -1], [1500, 500])) == pytest.approx(mcnemar(1500, 500))


@pytest.mark.parametrize(
    "differences", [[3, -1, 2, 0, 1, -2, 3, 1], [2, 2, -1], [0, 0], [-3, -3, 1, 2, -1, -2, 0, 3, 3]]
)
def test_the_sign_flip_test_against_all_choices_of_signs(differences: list[int]):
    signs = np.array(list(itertools.product([-1, 1], repeat=len(differences))))
    sums = np.abs(signs @ np.array(differences))
    assert sign_flip(np.array(differences)) == pytest.approx((sums >= abs(sum(differences))).mean())


def test_the_summary_against_counting_by_hand():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    model, other = (np.where(rng.random((2, 40)) < share, labels, rng.integers(0, 3, (2, 40))) for share in (0.7, 0.4))
    found = summarise(FoldPredictions(("a", "b", "c"), labels, model, {"other": other}), Resampling(200, 0.95, 3))

    def macro(answers: np.ndarray, chosen: np.ndarray) -> float:
        return float(np.mean([f1_score(labels[chosen], repeat[chosen], average="macro") for repeat in answers]))

    everyone = np.arange(40)
    assert found["accuracy"]["mean"] == pytest.approx((model == labels).mean())
    assert found["macro_f1"]["mean"] == pytest.approx(macro(model, everyone))
    drawn = np.concatenate(list(resamples(40, 200, 3, 64)))
    point = macro(model, everyone) - macro(other, everyone)
    ahead = np.array([macro(model, chosen) - macro(other, chosen) for chosen in drawn])
    baseline = found["baselines"]["other"]
    assert baseline["macro_f1_difference"] == pytest.approx(point)
    assert baseline["macro_f1_difference_interval"] == pytest.approx(interval(ahead, point, 0.95))
    right = np.array([(model[:, chosen] == labels[chosen]).mean() for chosen in drawn])
    low, high = interval(right, found["accuracy"]["mean"], 0.95)
    assert (found["accuracy"]["low"], found["accuracy"]["high"]) == pytest.approx((low, high))
    assert baseline["p_value"] == sign_flip(lead(labels, model, other))
    for number, name in enumerate("abc"):
        scores = [f1_score(labels == number, repeat == number) for repeat in model]
        assert found["per_label"][name]["f1"] == pytest.approx(np.mean(scores))
        assert found["per_label"][name]["support"] == (labels == number).sum()


def test_a_label_that_is_never_predicted_has_no_f1():
    labels = np.array([0, 0, 1, 1])
    each = [measures(labels, np.array(predicted), 3) for predicted in ([0, 0, 1, 0], [0, 0, 1, 1])]
    assert [scores[0] for scores in each] == [0.75, 1.0]
    assert all(np.isnan(scores[4]) for scores in each)
    summary = summarise(FoldPredictions(("a", "b", "c"), labels, labels[None], {}), Resampling(100, 0.95, 0))
    assert summary["per_label"]["c"] == {"precision": 0, "recall": 0, "f1": 0, "f1_interval": [0, 0], "support": 0}
