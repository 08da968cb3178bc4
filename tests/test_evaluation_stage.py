"""The evaluation stage on small artifacts, and the check of what it writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluation_inputs import LABELS, Inputs, make_inputs
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from tasks.cleaning.schema import DOCUMENTS
from tasks.evaluation.inputs import read_gradient_profiles, read_max_grad_norm
from tasks.evaluation.settings import EvaluationLimits, EvaluationSettings
from tasks.evaluation.task import evaluate
from tasks.shared.checks.report import CheckReport
from tasks.shared.checks.words import sentence
from tasks.shared.errors import ArtifactError, CorpusError
from tasks.shared.parquet import PartWriter, read_table
from tasks.shared.runner.pool import open_executor
from tasks.stacking.stacked import StackedClassifier
from tasks.training.schema import GRADIENTS

SETTINGS = EvaluationSettings(bootstrap_samples=100, device="cpu")
FILES = [
    *("baselines.parquet", "doubtful_labels.parquet", "metrics.json", "mistakes.parquet", "predictions.parquet"),
    *("report.html", "strongest_words.parquet"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def artifact(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, scratch = tmp_path_factory.mktemp("report"), tmp_path_factory.mktemp("work") / "scratch"
    summary = evaluate.function(SETTINGS, out, **inputs.for_the_stage(scratch))
    assert summary["rows"] == 12
    return out


def read_metrics(artifact: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((artifact / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def test_predictions_are_the_models_and_in_order(artifact: Path, inputs: Inputs) -> None:
    frame = pd.read_parquet(artifact / "predictions.parquet")
    probabilities = frame[[f"probability_{label}" for label in sorted(LABELS)]]
    assert list(frame.columns) == ["doc_id", "label", "predicted", *probabilities.columns]
    assert frame["doc_id"].is_monotonic_increasing
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert (frame["predicted"] == probabilities.idxmax(axis=1).str.removeprefix("probability_")).all()
    texts = read_table(inputs.cleaned / "documents").to_pandas().set_index("doc_id")["text"]
    expected = np.exp(StackedClassifier.load(inputs.model, "cpu").log_probabilities(list(texts[frame["doc_id"]])))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_report_shows_gradients(artifact: Path, inputs: Inputs, tmp_path: Path) -> None:
    html = (artifact / "report.html").read_text()
    assert "Gradient norm of the training steps by epoch" in html
    assert "Clipped above 1." in html
    assert "has no recurrent layer" in html
    training, out = shutil.copytree(inputs.training, tmp_path / "training"), tmp_path / "out"
    out.mkdir()
    rows = [
        {"epoch": 2, "layer": 1, "direction": "forward", "state": "h", "distance": distance, "windows": 1}
        | dict.fromkeys(("norm", "smallest", "largest"), 0.5**distance)
        for distance in (1, 0)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=GRADIENTS), training / "gradients.parquet")
    evaluate.function(SETTINGS, out, **inputs.for_the_stage(tmp_path / "scratch") | {"training": training})
    assert "forward, h: 1 at lag 0, 0.5 at lag 1" in (out / "report.html").read_text()


def test_a_record_of_gradients_may_be_missing_but_not_damaged(tmp_path: Path) -> None:
    assert read_gradient_profiles(tmp_path) is None
    assert read_max_grad_norm(tmp_path) is None
    (tmp_path / "gradients.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"gradients\.parquet: not readable as Parquet"):
        read_gradient_profiles(tmp_path)


def test_metrics_follow_from_the_predictions(artifact: Path, inputs: Inputs) -> None:
    frame, metrics = pd.read_parquet(artifact / "predictions.parquet"), read_metrics(artifact)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(frame["label"], frame["predicted"]))
    assert metrics["macro_f1"] == pytest.approx(f1_score(frame["label"], frame["predicted"], average="macro"))
    assert metrics["documents"] == len(frame) == 12
    assert metrics["labels"] == metrics["confusion"]["labels"] == sorted(LABELS)
    assert metrics["per_label"][LABELS[0]]["support"] == 4
    model = json.loads((inputs.model / "model.json").read_text())
    assert metrics["out_of_fold"] == {
        name: model["out_of_fold"][name] for name in ("documents", "accuracy", "macro_f1")
    }
    assert set(metrics["members"]) == {"words", "characters", "counts", "rnn"}
    assert {name: one["weight"] for name, one in metrics["members"].items() if one["weight"]} == model["weights"]
    assert set(metrics["without"]) == (set(model["weights"]) if len(model["weights"]) > 1 else set())
    assert sum(one["documents"] for one in metrics["calibration"]["bins"]) == 12


def test_metrics_include_the_baselines(artifact: Path) -> None:
    baselines = read_metrics(artifact)["baselines"]
    assert set(baselines) == {"majority", "tfidf_svm", "tfidf_svm_balanced", "naive_bayes"}
    assert baselines["majority"]["accuracy"] == pytest.approx(1 / 3)
    assert baselines["tfidf_svm"]["accuracy"] > 0.8
    assert baselines["tfidf_svm"]["accuracy_difference_interval"][0] <= 0


def test_baselines_learn_from_training_and_validation_texts(artifact: Path, inputs: Inputs) -> None:
    """They are those of scikit-learn's vectorizers."""
    texts = read_table(inputs.cleaned / "documents").to_pandas().set_index("doc_id")["text"]
    splits = read_table(inputs.splits / "splits").to_pandas().sort_values("doc_id")
    known = splits[splits["split"] != "test"]
    baselines = pd.read_parquet(artifact / "baselines.parquet")
    expected = {
        "naive_bayes": (CountVectorizer(min_df=2), MultinomialNB(alpha=0.05)),
        "tfidf_svm": (TfidfVectorizer(sublinear_tf=True, min_df=2), LinearSVC(random_state=0)),
    }
    for name, (vectorizer, classifier) in expected.items():
        classifier.fit(vectorizer.fit_transform(texts[known["doc_id"]]), known["label"])
        predicted = classifier.predict(vectorizer.transform(texts[baselines["doc_id"]]))
        assert list(predicted) == list(baselines[name])


def test_baseline_predictions_give_the_scores(artifact: Path) -> None:
    baselines, predictions = (pd.read_parquet(artifact / f"{name}.parquet") for name in ("baselines", "predictions"))
    assert list(baselines["doc_id"]) == list(predictions["doc_id"])
    for name, scores in read_metrics(artifact)["baselines"].items():
        assert (baselines[name] == predictions["label"]).mean() == pytest.approx(scores["accuracy"])


def test_same_inputs_give_the_same_bytes(artifact: Path, inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    evaluate.function(SETTINGS, out, **inputs.for_the_stage(tmp_path / "scratch"))
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert all((out / name).read_bytes() == (artifact / name).read_bytes() for name in FILES)


@pytest.mark.slow
def test_workers_give_the_same_bytes(artifact: Path, inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with open_executor("processes", 2) as executor:
        evaluate.function(SETTINGS, out, **inputs.for_the_stage(tmp_path / "scratch"), executor=executor)
    assert all((out / name).read_bytes() == (artifact / name).read_bytes() for name in FILES)


def test_seed_changes_only_the_intervals(artifact: Path, inputs: Inputs, tmp_path: Path) -> None:
    evaluate.function(SETTINGS.model_copy(update={"seed": 1}), tmp_path, **inputs.for_the_stage(tmp_path / "scratch"))
    before, after = read_metrics(artifact), read_metrics(tmp_path)
    assert before["accuracy"] == after["accuracy"]
    assert before["calibration"]["log_loss"] == after["calibration"]["log_loss"]
    assert before["calibration"]["log_loss_interval"] != after["calibration"]["log_loss_interval"]


def test_model_of_other_labels_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    model = shutil.copytree(inputs.model, tmp_path / "model")
    content = json.loads((model / "model.json").read_text())
    content["label_names"] = ["a", "b", "c"]
    (model / "model.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="other labels"):
        evaluate.function(SETTINGS, tmp_path, **inputs.for_the_stage(tmp_path / "scratch") | {"model": model})


def test_text_that_is_missing_is_named(inputs: Inputs, tmp_path: Path) -> None:
    rows = read_table(inputs.cleaned / "documents").to_pylist()
    with PartWriter(tmp_path / "cleaned" / "documents", DOCUMENTS) as writer:
        writer.write(rows[1:])
    with pytest.raises(ArtifactError, match=rows[0]["doc_id"]):
        evaluate.function(
            SETTINGS, tmp_path, **inputs.for_the_stage(tmp_path / "scratch") | {"cleaned": tmp_path / "cleaned"}
        )


def test_empty_test_split_cannot_be_measured(inputs: Inputs, tmp_path: Path) -> None:
    table = read_table(inputs.splits / "splits")
    with PartWriter(tmp_path / "splits" / "splits", table.schema) as writer:
        writer.write([row for row in table.to_pylist() if row["split"] != "test"])
    with pytest.raises(CorpusError, match="test split has no documents"):
        evaluate.function(
            SETTINGS, tmp_path, **inputs.for_the_stage(tmp_path / "scratch") | {"splits": tmp_path / "splits"}
        )


def test_findings_are_tables_beside_the_report(artifact: Path, inputs: Inputs) -> None:
    doubtful, mistakes, words = (
        pd.read_parquet(artifact / f"{name}.parquet") for name in ("doubtful_labels", "mistakes", "strongest_words")
    )
    predictions, metrics = pd.read_parquet(artifact / "predictions.parquet"), read_metrics(artifact)
    assert metrics["doubtful_labels"] == {"documents": len(doubtful), "labelled": 24}
    assert list(doubtful["rank"]) == list(range(1, len(doubtful) + 1))
    assert set(doubtful["doc_id"]).isdisjoint(predictions["doc_id"])
    assert (doubtful["label"] != doubtful["suggested"]).all()
    assert len(mistakes) == min(10, (predictions["label"] != predictions["predicted"]).sum())
    for row in mistakes.to_dict("records"):
        assert "".join(piece["text"] for piece in row["pieces"]).startswith("<script>w")
        assert len(row["terms"]) <= 12
    own = {label: set(words["word"][words["label"] == label]) for label in LABELS}
    assert own[LABELS[0]] <= {f"w{i}" for i in range(20)} | {f"w{i} w{k}" for i in range(20) for k in range(20)}
    assert all(0 < len(some) <= 10 for some in own.values())
    assert (words["amount"] > 0).all()


def test_report_is_rebuilt_when_its_template_or_style_changes() -> None:
    assert evaluate.external_digests is not None
    assert set(evaluate.external_digests(SETTINGS)) == {"template.html", "page.css"}


def check(artifact: Path, inputs: Inputs, limits: EvaluationLimits) -> CheckReport:
    from tasks.evaluation import contract
    from tasks.shared.checks.runner import run_contract

    return CheckReport(results=run_contract(contract, artifact, inputs.folders(), SETTINGS, limits))


def test_check_passes_what_the_stage_writes(artifact: Path, inputs: Inputs, tmp_path: Path) -> None:
    report = check(artifact, inputs, EvaluationLimits())
    assert [sentence(failure) for failure in report.failures + report.warnings] == []
    assert {"columns", "documents", "scores", "consistency", "baselines", "floors"} <= {
        result.batch for result in report.results
    }


def edit_metrics(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(artifact: Path) -> None:
        metrics = read_metrics(artifact)
        change(metrics)
        (artifact / "metrics.json").write_text(json.dumps(metrics))

    return damage


def edit_predictions(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def damage(artifact: Path) -> None:
        path = artifact / "predictions.parquet"
        schema = pq.read_schema(path)
        frame = change(pd.read_parquet(path))
        kept = pa.schema([field for field in schema if field.name in frame.columns])
        pq.write_table(pa.table({name: frame[name].tolist() for name in kept.names}, kept), path)

    return damage


def swap_prediction(frame: pd.DataFrame) -> pd.DataFrame:
    least = frame.iloc[:, 3:].idxmin(axis=1).str.removeprefix("probability_")
    return frame.assign(predicted=least)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a column is gone": (edit_predictions(lambda f: f.iloc[:, :-1]), "columns"),
    "probabilities do not sum to one": (edit_predictions(lambda f: f.assign(**{f.columns[3]: 0.9})), "probabilities"),
    "a probability is not a number": (edit_predictions(lambda f: f.assign(**{f.columns[3]: np.nan})), "probabilities"),
    "the prediction is not the likeliest": (edit_predictions(swap_prediction), "probabilities"),
    "a document is missing": (edit_predictions(lambda f: f.iloc[1:]), "documents"),
    "a document counts twice": (edit_predictions(lambda f: pd.concat([f, f.iloc[:1]])), "documents"),
    "a true label is wrong": (edit_predictions(lambda f: f.assign(label=f["label"].iloc[0])), "documents"),
    "a score is above one": (edit_metrics(lambda m: m.update(macro_f1=1.5)), "scores"),
    "an interval misses its score": (edit_metrics(lambda m: m.update(macro_f1_interval=[0, 0])), "scores"),
    "accuracy is another model's": (
        edit_metrics(lambda m: m.update(accuracy=0.001, accuracy_interval=[0, 1])),
        "consistency",
    ),
    "a doubtful label is missing": (
        edit_metrics(lambda m: m["doubtful_labels"].update(documents=99)),
        "consistency",
    ),
    "a baseline is missing": (edit_metrics(lambda m: m["baselines"].pop("tfidf_svm")), "baselines"),
    "the report is cut off": (lambda artifact: (artifact / "report.html").write_text("<html>") and None, "consistency"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_check_stops_what_is_damaged(kind: str, artifact: Path, inputs: Inputs, tmp_path: Path) -> None:
    damage, batch = DAMAGE[kind]
    copy = shutil.copytree(artifact, tmp_path / "artifact")
    damage(copy)
    failures = check(copy, inputs, EvaluationLimits()).failures
    assert any(failure.batch.startswith(batch) for failure in failures), [sentence(f) for f in failures]


def test_floors_are_off_until_they_are_set(artifact: Path, inputs: Inputs, tmp_path: Path) -> None:
    limits = EvaluationLimits(min_accuracy=1.0, min_macro_f1=0.0)
    copy = shutil.copytree(artifact, tmp_path / "artifact")
    edit_metrics(lambda m: m["baselines"]["majority"].update(accuracy=1.0, accuracy_interval=[1, 1]))(copy)
    reasons = {result.reason for result in check(copy, inputs, limits).failures}
    accuracy = read_metrics(artifact)["accuracy"]
    assert ("checks.evaluation.min_accuracy" in reasons) == (accuracy < 1)
    default = check(copy, inputs, EvaluationLimits())
    assert not default.failures
    assert len(default.warnings) == (accuracy < 1)
    stopping = check(copy, inputs, EvaluationLimits(below_majority="stop"))
    assert len(stopping.failures) == (accuracy < 1)
