"""Corpora that are odd but legal go through all stages from the members to the report; those that cannot are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evaluation_inputs import TRAINING

from tasks.cleaning.schema import DOCUMENTS
from tasks.evaluation import contract
from tasks.evaluation.settings import EvaluationLimits, EvaluationSettings
from tasks.evaluation.task import evaluate
from tasks.linear.fit import MAX_WEIGHTS, Options, make_features
from tasks.linear.settings import LinearSettings
from tasks.linear.task import fit_linear
from tasks.prediction.model import load_model
from tasks.shared.checks.runner import run_contract
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import PartWriter
from tasks.shared.store.artifacts import content_digest, describe
from tasks.splitting.schema import SPLITS_SCHEMA
from tasks.stacking.settings import StackingSettings
from tasks.stacking.stacked import StackedClassifier
from tasks.stacking.task import stack
from tasks.training.input.evidence import learn_evidence, learn_pairs
from tasks.training.input.vocabulary import WordVocabulary
from tasks.training.task import train

SETTINGS = EvaluationSettings(bootstrap_samples=100, device="cpu")
Row = tuple[str, str, str]
"""Label, split, text."""


def words(stem: str, number: int) -> str:
    return " ".join(f"{stem}{(number + k) % 7}" for k in range(12))


def rows(labels: str, train_texts: int = 6) -> list[Row]:
    """`train_texts` training texts and two test texts of each label, with words of its own."""
    return [
        (label, "train" if number < train_texts else "test", words(label, number))
        for label in labels
        for number in range(train_texts + 2)
    ]


CORPORA: dict[str, list[Row]] = {
    "a label with fewer texts than folds": [*rows("ab"), ("c", "train", words("c", 0)), ("c", "test", words("c", 1))],
    "one text a label": rows("abcd", train_texts=1),
    "one word a text": [(label, split, text.split()[0]) for label, split, text in rows("abc")],
    "two labels with the same texts": [*rows("ab"), *(("c", split, text) for _, split, text in rows("a"))],
    "texts of unknown words alone": [*rows("ab"), ("a", "test", "never seen before"), ("b", "test", "— ½ 日本語")],
    "no word in common": [
        (label, "test" if number > 5 else "train", f"{label}only{number}") for label in "ab" for number in range(8)
    ],
}


def write(folder: Path, corpus: list[Row]) -> dict[str, Path]:
    inputs = {name: folder / name for name in ("cleaned", "splits")}
    documents = [
        {**dict.fromkeys(("doc_id", "group", "digest", "source"), f"{number:03d}")}
        | {"label": label, "split": split, "text": text}
        for number, (label, split, text) in enumerate(corpus)
    ]
    with PartWriter(inputs["cleaned"] / "documents", DOCUMENTS) as writer:
        writer.write(documents)
    with PartWriter(inputs["splits"] / "splits", SPLITS_SCHEMA) as writer:
        writer.write(documents)
    return inputs


@pytest.mark.parametrize("kind", CORPORA)
def test_an_odd_corpus_gets_a_model_and_a_report(kind: str, tmp_path: Path) -> None:
    inputs = write(tmp_path, CORPORA[kind])
    folders = {name: tmp_path / name for name in ("linear", "training", "model")}
    report, unread = tmp_path / "report", {name: tmp_path / name for name in ("tokens", "vocabulary")}
    for folder in (*folders.values(), report, tmp_path / "fits", tmp_path / "calls"):
        folder.mkdir()
    fit_linear.function(LinearSettings(), folders["linear"], **inputs, scratch=tmp_path / "fits")
    train.function(TRAINING, folders["training"], **inputs, **unread, scratch=tmp_path / "scratch")
    stack.function(StackingSettings(), folders["model"], linear=folders["linear"], training=folders["training"])
    evaluate.function(SETTINGS, report, **inputs, **folders, scratch=tmp_path / "calls")
    results = run_contract(contract, report, {**inputs, **folders}, SETTINGS, EvaluationLimits())
    assert [result.reason for result in results if not result.success and result.severity == "critical"] == []
    predictions = pd.read_parquet(report / "predictions.parquet")
    assert np.isfinite(predictions.iloc[:, 3:].to_numpy()).all()
    classifier = StackedClassifier.load(folders["model"], "cpu")
    for text in (CORPORA[kind][0][2], "never seen", "7"):
        assert np.isfinite(classifier.explain(text, 0, 1).log_odds)


def test_with_thousands_of_labels_tables_stay_within_their_bounds() -> None:
    texts = [" ".join(f"w{number}" for number in range(start, start + 10_000)) for start in (0, 10_000)] * 2
    features = make_features(Options("words", 2, 400_000, (1.0,)), texts, 2_000)
    assert len(features.terms) == MAX_WEIGHTS // 2_000 < 20_000
    many, labels = [words(f"x{number}", number) for number in range(2_000)], np.arange(2_000)
    vocabulary = WordVocabulary.learn(many, 30_000)
    ids = vocabulary.encode(many)
    tables = learn_evidence(ids, learn_pairs(ids, vocabulary.size, 300_000), labels, 2_000, labels % 5, 0.5, 64)
    assert tables.for_new_texts().dimensions == 64


def test_a_models_folder_from_before_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    files = describe(tmp_path)
    recipe = {key: {} for key in ("settings", "inputs", "sources", "code", "libraries")}
    manifest = {
        **{"stage": "training", "folder": "06_models", "fingerprint": tmp_path.name, "rows": 1, "bytes": 1},
        **{"digest": content_digest(files, ()), "seconds": 1.0, "created": "2026-11-01T00:00:00.000+00:00"},
        **{"recipe": recipe | {"stage": "training"}, "lineage": {"cleaning": {"settings": {}}}, "summary": {}},
        "files": {name: record.model_dump() for name, record in files.items()},
    }
    (tmp_path / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"made by an older version; train again$") as caught:
        load_model(tmp_path, "cpu")
    assert "\n" not in str(caught.value)
