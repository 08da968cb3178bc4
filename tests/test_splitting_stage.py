"""Splitting: folds, what the stage writes, and what its check finds."""

import random
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.model_selection import StratifiedKFold
from test_splitting import (
    BROWN,
    SEEDS,
    SHARES,
    alone,
    assign_fold,
    covered,
    document,
    grouped,
    groups_are_whole,
    groups_by_label,
)

from tasks.cleaning.schema import DOCUMENTS
from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.task import clean
from tasks.extraction.document import Document
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter
from tasks.splitting.settings import FoldSettings, SplittingLimits, SplittingSettings
from tasks.splitting.task import split


def test_folds_are_those_of_scikit_learn():
    documents = sorted(alone(BROWN))
    labels = [document.label for document in documents]
    expected = StratifiedKFold(5, shuffle=True, random_state=3).split(labels, labels)
    for index, (_, test) in enumerate(expected):
        splits = assign_fold(random.Random(0).sample(documents, 500), SHARES, 5, index, seed=3)
        assert {i for i, name in splits.items() if name == "test"} == {documents[i].doc_id for i in test}
        assert covered(documents, splits)
        assert Counter(splits.values())["validation"] == pytest.approx(400 / 9, abs=1)


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # few draws have a label with as many groups as folds
@given(grouped(), st.integers(3, 6), SEEDS)
def test_every_group_is_tested_in_one_fold(documents, count, seed):
    assume(any(len(groups) >= count for groups in groups_by_label(documents).values()))
    folds = [assign_fold(documents, SHARES, count, index, seed, "train_only") for index in range(count)]
    tested = Counter(doc_id for splits in folds for doc_id, name in splits.items() if name == "test")
    for splits in folds:
        assert set(splits) == {document.doc_id for document in documents}
        assert groups_are_whole(documents, splits)
        assert covered(documents, splits, count)
    large = {group for groups in groups_by_label(documents).values() if len(groups) >= count for group in groups}
    assert tested == {document.doc_id: 1 for document in documents if document.group in large}


def test_a_label_smaller_than_the_folds_follows_the_policy():
    documents = alone({"a": 10, "b": 4, "c": 9})
    with pytest.raises(CorpusError, match=r"5 folds, at least 5 are needed: 'b' \(4 texts\)"):
        assign_fold(documents, SHARES, 5, 0)
    splits = assign_fold(documents, SHARES, 5, 0, policy="train_only")
    assert {splits[f"b-{number}"] for number in range(4)} == {"train"}
    assert len(assign_fold(documents, SHARES, 5, 0, policy="drop")) == 19


@pytest.fixture
def cleaned(tmp_path):
    def write(documents: list[Document], name: str = "cleaned") -> Path:
        with PartWriter(tmp_path / name / "documents", DOCUMENTS) as writer:
            writer.write([each._replace(source="s", text="t")._asdict() for each in sorted(documents)])
        return tmp_path / name

    return write


def test_the_stage_writes_the_split_of_each_document_and_continues(cleaned, tmp_path):
    for out in ("one", "two", "fold"):
        (tmp_path / out).mkdir()
    first = cleaned(alone({"a": 20, "b": 10}))
    summary = split.function(SplittingSettings(), tmp_path / "one", cleaned=first)
    assert summary == {"rows": 30, "train": 24, "validation": 3, "test": 3, "dropped": 0, "moved": 0}
    one = pd.read_parquet(tmp_path / "one" / "splits").set_index("doc_id")
    assert list(one.columns) == ["label", "group", "split", "digest"]
    assert one.index.is_monotonic_increasing
    more = cleaned(alone({"a": 23, "b": 31, "c": 5}), "more")
    assert split.continues(SplittingSettings(), tmp_path / "one", {"cleaned": more})
    assert split.function(SplittingSettings(), tmp_path / "two", cleaned=more, previous=tmp_path / "one")["moved"] == 0
    two = pd.read_parquet(tmp_path / "two" / "splits").set_index("doc_id")
    assert two.loc[one.index, "split"].equals(one["split"])
    fold = SplittingSettings(fold=FoldSettings(count=5, index=4))
    assert not split.continues(fold, tmp_path / "one", {"cleaned": more})
    assert not split.continues(SplittingSettings(), tmp_path / "one", {"cleaned": cleaned(alone({"z": 9}), "other")})
    assert split.function(fold, tmp_path / "fold", cleaned=more)["test"] == pytest.approx(59 / 5, abs=1)


@pytest.mark.brown
def test_brown_from_its_source_to_its_splits(tmp_path):
    for name in ("documents", "cleaned", "scratch", "splits"):
        (tmp_path / name).mkdir()
    extract.function(ExtractionSettings(), tmp_path / "documents")
    summary = clean.function(
        CleaningSettings(), tmp_path / "cleaned", documents=tmp_path / "documents", scratch=tmp_path / "scratch"
    )
    assert summary == {"rows": 500, "grouped": 0, "dropped": {}}
    summary = split.function(SplittingSettings(), tmp_path / "splits", cleaned=tmp_path / "cleaned")
    assert (summary["train"], summary["validation"], summary["test"]) == (400, 50, 50)
    assert Counter(pd.read_parquet(tmp_path / "splits" / "splits")["label"]) == BROWN


def test_dropped_labels_have_no_row(cleaned, tmp_path):
    (tmp_path / "out").mkdir()
    documents = cleaned(alone({"a": 9, "b": 9, "c": 1}))
    summary = split.function(SplittingSettings(small_labels="drop"), tmp_path / "out", cleaned=documents)
    assert (summary["rows"], summary["dropped"]) == (18, 1)
    assert set(pd.read_parquet(tmp_path / "out" / "splits")["label"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train": 0.9}, "must sum to 1, but sum to 1.1"),
        ({"test": 0}, "greater than 0"),
        ({"fold": {"count": 5, "index": 5}}, "index is 5, but the last of 5 folds is 4"),
        ({"small_labels": "ignore"}, "small_labels"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        SplittingSettings(**wrong)


@pytest.fixture
def check(cleaned, tmp_path):
    """The expectations that fail for the splits of 20 + 10 + 6 documents after `damage` to their rows."""
    from tasks.shared.checks.runner import run_contract
    from tasks.splitting import contract

    def failing(damage=lambda rows: rows, documents: list[Document] | None = None, **settings) -> set[str]:
        inputs = {"cleaned": cleaned(documents or [*alone({"a": 18, "b": 10, "c": 6}), *PAIR])}
        chosen, out = SplittingSettings(**settings), tmp_path / "out"
        out.mkdir()
        split.function(chosen, out, **inputs)
        part = out / "splits" / "part-00000.parquet"
        rows = damage(pd.read_parquet(part).set_index("doc_id")).reset_index()
        schema = pa.schema([(column, pa.string()) for column in rows.columns])
        pq.write_table(pa.Table.from_pandas(rows, schema=schema, preserve_index=False), part)
        results = run_contract(contract, out, inputs, chosen, SplittingLimits())
        failed = [(result.batch, result.arguments) for result in results if not result.success]
        return {f"{batch}: {given.get('column', given.get('column_A'))}" for batch, given in failed}

    return failing


PAIR = [document("a-x", "a"), document("a-y", "a", "a-x")]


def put(split_name: str, *doc_ids: str):
    return lambda rows: rows.assign(split=rows["split"].where(~rows.index.isin(doc_ids), split_name))


@pytest.mark.parametrize(
    ("settings", "documents"),
    [
        ({}, None),
        ({"fold": {"count": 5, "index": 2}}, None),
        ({}, alone(BROWN)),
        ({"fold": {"count": 5, "index": 0}}, alone(BROWN)),
        ({}, alone({f"label{number}": 3 for number in range(12)})),
        ({"small_labels": "drop"}, alone({"a": 9, "b": 8, "c": 2})),
        ({"small_labels": "train_only"}, alone({"a": 9, "b": 8, "c": 2})),
        (
            {},  # a group of two labels, as often one as the other: that of its first text counts
            [*alone({"a": 9}), *alone({"b": 2}), document("x", "b", "x"), document("y", "a", "x")._replace(digest="0")],
        ),
    ],
)
def test_good_splits_pass(check, settings, documents):
    assert check(documents=documents, **settings) == set()


@pytest.mark.parametrize(
    ("damage", "failure"),
    [
        (lambda rows: rows.drop(index="a-1"), "documents: side"),
        (lambda rows: rows.drop(index="a-1"), "counts: in_splits_or_dropped"),
        (lambda rows: rows.rename(index={"a-1": "z-1"}), "documents: side"),
        (lambda rows: pd.concat([rows, rows.loc[["a-1"]]]), "documents: times"),
        (put("dev", "a-1"), "documents: split"),
        (lambda rows: put("test" if rows.loc["a-y", "split"] != "test" else "train", "a-x")(rows), "groups: splits"),
        (put("train", *(f"c-{number}" for number in range(6))), "labels: splits"),
        (put("test", *(f"b-{number}" for number in range(8))), "labels: documents_off"),
        (lambda rows: rows.assign(split="train"), "splits: documents"),
        (put("validation", *(f"a-{number}" for number in range(18))), "splits: share_off"),
    ],
)
def test_the_check_finds_damage(check, damage, failure):
    assert failure in check(damage)


def test_the_check_finds_other_columns(check):
    assert check(lambda rows: rows.rename(columns={"split": "part"})) == {"splits: None"}
