"""Splits that a corpus comes with: read from a table, kept by cleaning, honoured by splitting, and checked."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_splitting import by_name

from tasks.cleaning.schema import DOCUMENTS
from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.task import clean
from tasks.extraction import table
from tasks.extraction.document import Document
from tasks.extraction.rows import Columns
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter
from tasks.splitting import given as given_splits
from tasks.splitting.rows import Rows
from tasks.splitting.settings import FoldSettings, SplittingLimits, SplittingSettings
from tasks.splitting.task import split

COLUMNS = Columns("text", "label", "name", split="split")
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def document(doc_id: str, label: str, given_split: str, group: str = "") -> Document:
    return Document(doc_id, label, "s", "t", group or doc_id, digest=doc_id, given_split=given_split)


def assign_given(
    documents: list[Document], shares: Any, seed: int, policy: Any
) -> tuple[dict[str, str], dict[str, Any]]:
    """As `given.assign_given`, with documents and names of splits in place of columns and numbers."""
    numbers, found = given_splits.assign_given(Rows.of_documents(documents, seed), shares, policy)
    return by_name(documents, numbers), found


def corpus(**counts: tuple[int, int, int]) -> list[Document]:
    """Documents of each label: so many given for training, validation and test."""
    return [
        document(f"{label}-{name}-{number}", label, name)
        for label, of_label in counts.items()
        for name, count in zip(SHARES, of_label, strict=True)
        for number in range(count)
    ]


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    file = folder / f"corpus.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "csv":
        pyarrow.csv.write_csv(pa.Table.from_pylist(rows), file)
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    return file


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_column_has_the_split_of_each_row(tmp_path: Path, kind: str):
    rows = [{"split": name, "name": name, "label": "x", "text": name} for name in SHARES]
    documents = list(table.documents(write(tmp_path, kind, rows), COLUMNS))
    assert {document.text: document.given_split for document in documents} == {name: name for name in SHARES}


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("wrong", ["dev", "Train", "", " test"])
def test_an_unknown_split_names_row_and_column(tmp_path: Path, kind: str, wrong: str):
    rows = [{"name": str(n), "label": "x", "text": "t", "split": name} for n, name in enumerate(["train", wrong])]
    file = write(tmp_path, kind, rows)
    with pytest.raises(CorpusError) as caught:
        list(table.documents(file, COLUMNS))
    where = "line 2" if kind == "jsonl" else "row 2"
    assert f"{where} has {wrong!r} in 'split', not train, validation, test; correct it" in str(caught.value)
    assert "extraction.table.split_column" in str(caught.value)


def test_a_missing_split_column_and_a_row_without_a_split_are_named(tmp_path: Path):
    file = write(tmp_path, "parquet", [{"name": "a", "label": "x", "text": "t", "part": None}])
    with pytest.raises(CorpusError, match=r"no column 'split', only .*; set extraction\.table\.split_column"):
        list(table.documents(file, COLUMNS))
    row = {"name": "a", "label": "x", "text": "t", "split": None}
    pq.write_table(pa.Table.from_pylist([row], pa.schema([(name, pa.string()) for name in row])), file)
    with pytest.raises(CorpusError, match="row 1 has no value in column 'split'"):
        list(table.documents(file, COLUMNS))


def test_every_text_stays_in_its_given_split():
    documents = corpus(a=(20, 3, 6), b=(9, 2, 8))
    assigned, found = assign_given(documents, SHARES, 0, "fail")
    assert assigned == {document.doc_id: document.given_split for document in documents}
    assert found == {"straddling_groups": 0, "untested_labels": 0, "untrained_labels": 0}


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["train", "train", "test"]), st.integers(0, 30)), max_size=60
    ),
    st.integers(0, 99),
)
def test_validation_is_drawn_from_whole_groups_of_training_texts(rows: list[tuple[str, str, int]], seed: int):
    documents = corpus(a=(5, 0, 1), b=(5, 0, 1), c=(1, 0, 1)) + [
        document(f"{number:03d}", label, name, f"group-{group}") for number, (label, name, group) in enumerate(rows)
    ]
    assigned, _ = assign_given(documents, SHARES, seed, "fail")
    assert assign_given(documents[::-1], SHARES, seed, "fail")[0] == assigned
    groups = defaultdict(set)
    for each in documents:
        allowed = {"train", "validation"} if each.given_split == "train" else {"test"}
        assert assigned[each.doc_id] in allowed
        if each.given_split == "train":
            groups[each.group].add(assigned[each.doc_id])
    assert all(len(splits) == 1 for splits in groups.values())
    assert {each.label for each in documents if assigned[each.doc_id] == "train"} == set("abc")


def test_the_draw_is_stratified_and_seeded():
    documents = corpus(a=(90, 0, 9), b=(45, 0, 9), c=(1, 0, 1))
    drawn = [assign_given(documents, SHARES, seed, "fail")[0] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for assigned in drawn:
        assert Counter(doc_id[0] for doc_id, name in assigned.items() if name == "validation") == {"a": 10, "b": 5}


def test_the_given_split_wins_over_near_duplicates_and_they_are_counted(caplog: pytest.LogCaptureFixture):
    documents = [*corpus(a=(9, 1, 3), b=(9, 1, 3)), document("x", "a", "train", "x"), document("y", "a", "test", "x")]
    assigned, found = assign_given(documents, SHARES, 0, "fail")
    assert (assigned["x"], assigned["y"], found["straddling_groups"]) == ("train", "test", 1)
    assert "near duplicates in more than one given split: 1; each text stays" in caplog.text


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (corpus(a=(9, 1, 0), b=(9, 1, 0)), "no text is left in the split 'test', only 18 train, 2 validation"),
        (corpus(a=(0, 1, 4), b=(0, 1, 4)), "no text is left in the split 'train', only 2 validation, 8 test"),
        (corpus(a=(9, 1, 2), b=(0, 1, 2)), "no training text has the label 'b'; add some, or leave such labels out"),
        (corpus(a=(9, 1, 2)), "two labels or more"),
        (corpus(a=(1, 0, 2), b=(1, 0, 2)), "too few training texts to draw a validation split"),
    ],
)
def test_splits_that_cannot_serve_are_refused(documents: list[Document], message: str):
    with pytest.raises(CorpusError, match=message):
        assign_given(documents, SHARES, 0, "fail")


def test_labels_without_training_or_test_texts_are_counted():
    documents = corpus(a=(9, 1, 2), b=(9, 1, 0), c=(9, 0, 2), d=(0, 0, 2))
    assigned, found = assign_given(documents, SHARES, 0, "drop")
    assert len(assigned) == len(documents) - 2
    assert found == {"straddling_groups": 0, "untested_labels": 1, "untrained_labels": 1}


def test_from_a_table_to_its_splits(tmp_path: Path):
    rows = [
        {"label": "ab"[n % 2], "text": f"the text number {n} of {n * n} words", "split": "test" if n > 39 else "train"}
        for n in range(60)
    ]
    for name in ("documents", "cleaned", "scratch", "splits"):
        (tmp_path / name).mkdir()
    source = {"path": str(write(tmp_path, "csv", rows)), "split_column": "split"}
    settings = ExtractionSettings.model_validate({"source": "table", "table": source}, context={"root": tmp_path})
    extract.function(settings, tmp_path / "documents")
    clean.function(
        CleaningSettings(), tmp_path / "cleaned", documents=tmp_path / "documents", scratch=tmp_path / "scratch"
    )
    summary = split.function(SplittingSettings(), tmp_path / "splits", cleaned=tmp_path / "cleaned")
    assert {name: summary[name] for name in SHARES} == {"train": 36, "validation": 4, "test": 20}
    cleaned = pd.read_parquet(tmp_path / "cleaned" / "documents").set_index("doc_id")
    splits = pd.read_parquet(tmp_path / "splits" / "splits").set_index("doc_id")["split"]
    assert (splits[cleaned["given_split"] == "test"] == "test").all()
    assert not split.continues(SplittingSettings(), tmp_path / "splits", {"cleaned": tmp_path / "cleaned"})
    with pytest.raises(
        CorpusError, match=r"cross-validation draws its own; set extraction\.table\.split_column to null"
    ):
        fold = SplittingSettings(fold=FoldSettings(count=5, index=0))
        split.function(fold, tmp_path / "fold", cleaned=tmp_path / "cleaned")


PAIR = [document("x", "a", "train", "x"), document("y", "a", "test", "x")]


@pytest.mark.parametrize(
    ("moved", "failures"),
    [
        ({}, {"groups: splits"}),  # a warning
        ({"a-test-0": "train"}, {"groups: splits", "given: kept"}),
        ({"a-train-0": "test"}, {"groups: splits", "given: kept"}),
        ({f"b-train-{n}": "validation" for n in range(9)}, {"groups: splits", "labels: train"}),
    ],
)
def test_the_check_holds_the_splits_against_the_given_ones(tmp_path: Path, moved: dict[str, str], failures: set[str]):
    from tasks.shared.checks.runner import run_contract
    from tasks.splitting import contract

    with PartWriter(tmp_path / "cleaned" / "documents", DOCUMENTS) as writer:
        writer.write([each._asdict() for each in sorted([*corpus(a=(18, 0, 4), b=(9, 0, 4)), *PAIR])])
    (tmp_path / "out").mkdir()
    inputs, settings = {"cleaned": tmp_path / "cleaned"}, SplittingSettings()
    split.function(settings, tmp_path / "out", **inputs)
    part = tmp_path / "out" / "splits" / "part-00000.parquet"
    rows = pq.read_table(part)
    names = [
        moved.get(doc_id, name)
        for doc_id, name in zip(*(rows[c].to_pylist() for c in ("doc_id", "split")), strict=True)
    ]
    pq.write_table(rows.set_column(rows.column_names.index("split"), rows.schema.field("split"), [names]), part)
    results = run_contract(contract, tmp_path / "out", inputs, settings, SplittingLimits())
    assert {f"{each.batch}: {each.arguments.get('column')}" for each in results if not each.success} == failures
