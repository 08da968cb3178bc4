"""Corpora of unusual shape after tokenization: thousands of labels, and one label with nearly all texts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from tasks.cleaning.schema import DOCUMENTS
from tasks.evaluation import contract
from tasks.evaluation.predicting import baselines
from tasks.evaluation.settings import EvaluationLimits, EvaluationSettings
from tasks.evaluation.task import evaluate
from tasks.linear.fit import MANY_LABELS, Options, choices, make_features
from tasks.linear.member import Choice, LinearMember
from tasks.linear.schema import out_of_fold_file
from tasks.linear.settings import LinearSettings
from tasks.linear.task import fit_linear
from tasks.shared.checks.report import CheckReport
from tasks.shared.checks.runner import run_contract
from tasks.shared.out_of_fold import write_out_of_fold
from tasks.shared.parquet import PartWriter
from tasks.splitting.labelled import read_labels, read_texts
from tasks.splitting.schema import SPLITS_SCHEMA
from tasks.stacking.settings import StackingSettings
from tasks.stacking.task import stack
from tasks.training.skipped import Verdict, write_skipped

LABELS = 2_000
SETTINGS = EvaluationSettings(bootstrap_samples=200, device="cpu")


def write_texts(root: Path, documents: Iterable[tuple[str, str, str]]) -> dict[str, Path]:
    """Folders of cleaned documents, splits and a training that was left out; documents are (label, split, text)."""
    rows = [
        {**dict.fromkeys(("doc_id", "group", "digest", "source"), f"{number:05d}")}
        | {"label": label, "split": split, "text": text}
        for number, (label, split, text) in enumerate(documents)
    ]
    folders = {name: root / name for name in ("cleaned", "splits", "linear", "training", "model", "report", "calls")}
    for folder in folders.values():
        folder.mkdir()
    with PartWriter(folders["cleaned"] / "documents", DOCUMENTS) as writer:
        writer.write(rows)
    with PartWriter(folders["splits"] / "splits", SPLITS_SCHEMA) as writer:
        writer.write(rows)
    write_skipped(folders["training"], Verdict(len(rows), None, None))
    return folders


def write_member(folders: Mapping[str, Path]) -> None:
    """The member words without a fit: each label's weights are the mean features of its texts."""
    known, _ = read_labels(folders["cleaned"], folders["splits"])
    count = len(known.label_names)
    written = list(read_texts(folders["cleaned"], folders["splits"], np.arange(len(known))))
    features = make_features(Options("words", 2, 400_000, (1.0,)), written, count)
    weights = np.zeros((len(features.terms), count), np.float32)
    for text, label in enumerate(known.labels.tolist()):
        row = features.values[[text]]
        weights[row.indices, label] += row.data
    bias = np.zeros(count, np.float32)
    member = LinearMember("words", features.terms, features.idf, weights, bias, 5.0, Choice(1.0, False))
    folder = folders["linear"]
    (folder / "words").mkdir()
    member.save(folder / "words")
    scores = member.log_probabilities(written)
    path = folder / out_of_fold_file("words")
    write_out_of_fold(path, known.doc_ids, known.labels, known.folds, known.label_names, scores)
    (folder / "labels.json").write_text(json.dumps(known.label_names))


def judged(folders: Mapping[str, Path]) -> CheckReport:
    """Stacks and evaluates what is in the folders; the results of the check."""
    stack.function(StackingSettings(), folders["model"], linear=folders["linear"], training=folders["training"])
    names = ("cleaned", "splits", "linear", "training", "model")
    inputs = {name: folders[name] for name in names}
    evaluate.function(SETTINGS, folders["report"], **inputs, scratch=folders["calls"])
    return CheckReport(results=run_contract(contract, folders["report"], inputs, SETTINGS, EvaluationLimits()))


@pytest.mark.slow
def test_thousands_of_labels_are_evaluated_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "WORK", 2**28)  # a second
    rng = np.random.default_rng(0)
    documents = [
        (f"label{label:04d}", split, " ".join([f"own{label}", *(f"w{n}" for n in rng.integers(0, 300, 8))]))
        for split in ("train", "validation", "test")
        for label in range(LABELS)
    ]
    folders = write_texts(tmp_path, documents)
    write_member(folders)
    started = time.process_time()
    report = judged(folders)
    assert time.process_time() - started < 90
    assert report.failures == []
    metrics = json.loads((folders["report"] / "metrics.json").read_text())
    assert len(metrics["per_label"]) == LABELS
    assert metrics["accuracy"] > 0.9
    assert metrics["baselines"]["tfidf_svm"]["accuracy"] > 0.5  # though it stopped early
    assert (folders["report"] / "report.html").stat().st_size < 5_000_000


def test_with_thousands_of_labels_linear_members_make_no_choice() -> None:
    labels = np.arange(MANY_LABELS + 1).repeat([5, *[1] * MANY_LABELS])
    for kind in ("words", "characters"):
        assert choices(Options(kind, 2, 1000, (3.0, 0.3, 1.0)), labels) == [Choice(1.0, False, True)]
        assert len(choices(Options(kind, 2, 1000, (3.0, 0.3, 1.0)), labels[labels < MANY_LABELS])) == 6


@pytest.mark.slow
def test_one_label_with_nearly_all_texts_gets_a_model_and_a_warning_at_most(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def text(rare: bool) -> str:
        return " ".join([*(["rare"] * rare), *(f"w{n}" for n in rng.integers(0, 200, 20))])

    splits = ["train"] * 8 + ["validation", "test"]
    common = [("common", splits[number % 10], text(False)) for number in range(3_990)]
    folders = write_texts(tmp_path, [*common, *(("rare", split, text(True)) for split in ("train", *splits[-3:]))])
    texts = {name: folders[name] for name in ("cleaned", "splits")}
    fit_linear.function(LinearSettings(), folders["linear"], **texts, scratch=tmp_path / "fits")
    report = judged(folders)
    assert report.failures == []
    metrics = json.loads((folders["report"] / "metrics.json").read_text())
    assert metrics["baselines"]["majority"]["accuracy"] > 0.99
    assert metrics["accuracy"] >= metrics["baselines"]["majority"]["accuracy"] or report.warnings
    assert metrics["per_label"]["rare"]["support"] == 1
