"""Extraction as a stage: settings, order, ids, what is written, and its contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from brown_archive import write_brown
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.extraction.document import BATCH_CHARACTERS, Document, document_rows, documents_of, in_batches
from tasks.extraction.ordering import sort_by_id, validate
from tasks.extraction.schema import DOCUMENTS
from tasks.extraction.settings import ExtractionLimits, ExtractionSettings
from tasks.extraction.task import extract, sources
from tasks.shared.batched import batched
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import read_table


def folder_settings(root: Path, **texts: str) -> ExtractionSettings:
    for name, text in texts.items():
        file = root / "texts" / name.partition("_")[0] / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return ExtractionSettings.model_validate(
        {"source": "folder", "folder": {"path": "texts"}}, context={"root": str(root)}
    )


def made(settings: ExtractionSettings, out: Path) -> dict[str, Any]:
    out.mkdir()
    return extract.function(settings, out)


@pytest.mark.parametrize("source", ["folder", "table"])
def test_a_source_without_a_path_says_which_key_to_set(source: str) -> None:
    for values in ({}, {source: {"path": None}}):
        with pytest.raises(ValidationError, match=rf"set extraction\.{source}\.path"):
            ExtractionSettings.model_validate({"source": source, **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "web"}, "'brown', 'folder' or 'table'"),
        ({"folders": {}}, "Extra inputs are not permitted"),
        ({"folder": {"paths": "x"}}, "Extra inputs are not permitted"),
        ({"folder": {"encoding": "klingon"}}, "'klingon' is not a text encoding"),
        ({"folder": {"encoding": "base64"}}, "'base64' is not a text encoding"),
        ({"table": {"text_column": ""}}, "at least 1 character"),
        ({"table": {"text_column": "label"}}, "must differ"),
        ("brown", "valid dictionary"),
    ],
)
def test_wrong_settings_are_refused(values: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExtractionSettings.model_validate(values)


def test_the_fingerprint_sees_neither_paths_nor_other_sources(tmp_path: Path) -> None:
    settings = folder_settings(tmp_path, x_1="one")
    assert settings.cache_values() == {"source": "folder", "folder": {"encoding": "utf-8"}}
    assert ExtractionSettings().cache_values() == {"source": "brown", "brown": {}}


def test_paths_are_relative_to_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NLTK_DATA", raising=False)
    settings = ExtractionSettings.model_validate({}, context={"root": tmp_path / "checkout"})
    (tmp_path / "checkout").mkdir()
    write_brown(tmp_path / "shared" / "nltk_data")
    shared = sources(settings)
    (tmp_path / "shared" / "nltk_data").rename(tmp_path / "checkout" / "given")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "checkout" / "given"))
    assert sources(settings) == shared
    (tmp_path / "checkout" / "given" / "corpora" / "brown.zip").write_bytes(b"")
    with pytest.raises(CorpusError, match="not readable"):
        sources(settings)


def test_documents_are_written_sorted_and_the_same_each_time(tmp_path: Path) -> None:
    settings = folder_settings(tmp_path, y_1="Hello.\n\nÜnø", x_2="", x_1="one")
    summary = made(settings, tmp_path / "first")
    assert summary == {"rows": 3, "characters": 14, "labels": {"x": 2, "y": 1}}
    table = read_table(tmp_path / "first" / "documents")
    assert table.schema == DOCUMENTS
    assert table["doc_id"].to_pylist() == ["x/x_1.txt", "x/x_2.txt", "y/y_1.txt"]
    assert table["text"].to_pylist() == ["one", "", "Hello.\n\nÜnø"]
    made(settings, tmp_path / "second")
    part = Path("documents", "part-00000.parquet")
    assert (tmp_path / "first" / part).read_bytes() == (tmp_path / "second" / part).read_bytes()


def test_each_source_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NLTK_DATA", raising=False)
    write_brown(tmp_path / "data" / "nltk_data")
    (tmp_path / "corpus.csv").write_text("body,genre\nText,x\n")
    table = {"path": "corpus.csv", "text_column": "body", "label_column": "genre"}
    chosen = [{"source": "brown"}, {"source": "table", "table": table}]
    rows = []
    for values in chosen:
        settings = ExtractionSettings.model_validate(values, context={"root": tmp_path})
        rows.append(made(settings, tmp_path / settings.source)["rows"])
        assert list(sources(settings)) == [settings.source]
    assert rows == [2, 1]


def document(doc_id: str, label: str = "x", text: str = "", source: str = "here") -> Document:
    return Document(doc_id, label, source, text)


def batches(documents: list[Document], size: int = 3) -> Iterator[pa.RecordBatch]:
    return (document_rows(each, DOCUMENTS) for each in batched(documents, size))


def all_documents(rows: Iterator[pa.RecordBatch]) -> list[Document]:
    return [document for batch in rows for document in documents_of(batch)]


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.text("ab-é", max_size=3), st.text("xyz", max_size=9)), max_size=30),
    st.integers(1, 500),
    st.integers(1, 4),
)
def test_a_large_corpus_is_sorted_as_a_small_one(rows: list[tuple[str, str]], chunk: int, size: int) -> None:
    documents = [document(doc_id, text=text, source=str(place)) for place, (doc_id, text) in enumerate(rows)]
    found = all_documents(sort_by_id(batches(documents, size), chunk_bytes=chunk, merge_bytes=50))
    assert found == sorted(documents, key=lambda each: each.doc_id)


@pytest.mark.parametrize("size", [1, 3])
def test_a_doc_id_given_twice_names_both_rows(size: int) -> None:
    twice = [document("0"), document("a", source="t.csv row 1"), document("a", source="t.csv row 9")]
    with pytest.raises(CorpusError, match=r"'a' occurs twice, in t\.csv row 1 and in t\.csv row 9"):
        list(validate(batches(twice, size)))


@pytest.mark.parametrize(("doc_id", "label", "empty"), [("", "x", "doc_id"), ("a", " \t", "label")])
def test_ids_and_labels_are_not_empty(doc_id: str, label: str, empty: str) -> None:
    with pytest.raises(CorpusError, match=f"here: the {empty} is empty"):
        list(validate(batches([document(doc_id, label), document("b")])))


def test_a_corpus_without_documents_is_refused() -> None:
    with pytest.raises(CorpusError, match="no documents"):
        list(validate([]))


# The contract


def failures(artifact: Path, settings: ExtractionSettings, limits: ExtractionLimits) -> Iterator[str]:
    import great_expectations as gx

    from tasks.extraction.contract import batches

    context = gx.get_context(mode="ephemeral")
    definition = context.data_sources.add_pandas("d").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    for batch in batches(artifact, {}, settings, limits):
        for expectation in batch.expectations:
            assert expectation.notes
            outcome = definition.get_batch({"dataframe": batch.frame}).validate(expectation)
            if not outcome.success:
                yield f"{batch.name}: {outcome.expectation_config.kwargs['column']}"


GOOD = [("a", "x", "here", "text"), ("b", "y", "here", ""), ("c", "x", "here", "text")]
COUNTS, PART = "counts", "documents/part-00000"


@pytest.mark.parametrize(
    ("rows", "limits", "expected"),
    [
        (GOOD, {}, []),
        (GOOD, {"documents": 3, "labels": 2}, []),
        (GOOD, {"documents": 4, "labels": 3}, [f"{COUNTS}: documents", f"{COUNTS}: labels"]),
        (GOOD[:2], {}, [f"{COUNTS}: documents"]),
        ([(*row[:1], "x", *row[2:]) for row in GOOD], {}, [f"{COUNTS}: labels"]),
        ([*GOOD, GOOD[2]], {}, [f"{COUNTS}: repeated_ids", f"{PART}: doc_id"]),
        (GOOD[::-1], {}, [f"{COUNTS}: out_of_order"]),
        ([*GOOD, (None, "x", "here", "text")], {}, [f"{PART}: doc_id"]),
        ([*GOOD, ("d", None, "here", "text")], {}, [f"{PART}: label"]),
        ([*GOOD, ("d", "", "here", "text")], {}, [f"{PART}: label"]),
        ([*GOOD, ("d", "x", "here", None)], {}, [f"{PART}: characters"]),
        ([*GOOD, ("d", "x", "here", "é" * 9)], {"max_characters": 8}, [f"{PART}: characters"]),
        ([*GOOD, ("d", "x", "here", "é" * 8)], {"max_characters": 8}, []),
    ],
)
def test_the_contract_finds_what_is_damaged(
    tmp_path: Path, rows: list[tuple[str, ...]], limits: dict[str, int], expected: list[str]
) -> None:
    lax = pa.schema([field.with_nullable(True) for field in DOCUMENTS])
    table = pa.Table.from_pylist([dict(zip(DOCUMENTS.names, row, strict=False)) for row in rows], schema=lax)
    (tmp_path / "documents").mkdir()
    pq.write_table(table, tmp_path / "documents" / "part-00000.parquet")
    chosen = ExtractionSettings.model_validate({"source": "folder", "folder": {"path": tmp_path}})
    assert list(failures(tmp_path, chosen, ExtractionLimits(**limits))) == expected


def test_brown_has_500_documents_and_15_labels_unless_limits_say_otherwise(tmp_path: Path) -> None:
    settings = folder_settings(tmp_path, x_1="a", y_1="b", y_2="c")
    made(settings, tmp_path / "out")
    brown = ExtractionSettings()
    assert list(failures(tmp_path / "out", brown, ExtractionLimits())) == [f"{COUNTS}: documents", f"{COUNTS}: labels"]
    assert list(failures(tmp_path / "out", brown, ExtractionLimits(documents=3, labels=2))) == []


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=40)


@given(texts=TEXTS, given_split=st.sampled_from([None, "train"]))
def test_rows_written_by_column_are_those_written_one_by_one(texts: list[str], given_split: str | None) -> None:
    documents = [Document(str(n), "x", "s", text, given_split=given_split) for n, text in enumerate(texts)]
    one_by_one = pa.RecordBatch.from_pylist([document._asdict() for document in documents], schema=DOCUMENTS)
    assert document_rows(documents, DOCUMENTS).equals(one_by_one)


def test_batches_are_bounded_in_rows_and_in_characters() -> None:
    lengths = [*[0] * 300, *[BATCH_CHARACTERS // 2 + 1] * 3, *[BATCH_CHARACTERS + 1] * 2, 1]
    documents = [Document(str(n), text="x" * length) for n, length in enumerate(lengths)]
    batches = list(in_batches(documents))
    assert [len(batch) for batch in batches] == [256, 46, 2, 1, 1]
    assert [document for batch in batches for document in batch] == documents
    assert list(in_batches([])) == []
