"""Labels: cleaned as texts are, and what happens to a text that is there under two of them."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cleaning import changed, some_words

from tasks.cleaning.labels import clean_label, differ_by_case
from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.task import clean
from tasks.evaluation.inputs import label_notices
from tasks.extraction.schema import DOCUMENTS
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter

TEXTS = [" ".join(some_words(seed)) for seed in range(20)]


@pytest.fixture
def run(tmp_path):
    """Cleans rows of label and text, whose ids are their numbers; returns the summary and the artifact's folder."""

    def cleaned(rows: list[tuple[str, str]], **settings) -> tuple[dict, Path]:
        for name in ("out", "scratch"):
            (tmp_path / name).mkdir()
        with PartWriter(tmp_path / "in" / "documents", DOCUMENTS) as writer:
            named = ((f"{number:03}", label, text) for number, (label, text) in enumerate(rows))
            writer.write([{"doc_id": i, "label": label, "source": f"t.csv:{i}", "text": t} for i, label, t in named])
        inputs = {"documents": tmp_path / "in", "scratch": tmp_path / "scratch"}
        return clean.function(CleaningSettings(**settings), tmp_path / "out", **inputs), tmp_path / "out"

    return cleaned


def table(out: Path, name: str = "documents") -> pd.DataFrame:
    return pd.read_parquet(out / name).set_index("doc_id")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("law ", "law"),
        ("\ufefflaw", "law"),
        ("la\u200bw\u2060", "law"),
        ("law\u00a0", "law"),
        ("civil\u00a0 law", "civil law"),
        ("civil\tlaw\r\n", "civil law"),
        ("law\x00", "law"),
        ("la\u00adw", "law"),
        ("\u202elaw\u202c", "law"),
        ("Cafe\u0301", "Café"),
        ("e\u200b\u0301", "é"),
        ("law\u200d", "law"),
        ("la\u200cw", "law"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u200b \u200b", ""),
        ("“News”", "“News”"),
        ("News", "News"),
    ],
)
def test_labels_are_cleaned(label: str, expected: str):
    assert clean_label(label) == expected


@given(st.text(st.sampled_from("aZé\u0301 \n\t\x00\u00a0\u200b\u200c\u200d\ufeffم\u00ad")))
def test_cleaning_a_label_twice_changes_nothing_more(label: str):
    assert clean_label(clean_label(label)) == clean_label(label)


def test_labels_that_look_the_same_are_one_and_case_is_warned_of(run, caplog: pytest.LogCaptureFixture):
    raw = ["law", "law ", "Caf\u00e9", "Cafe\u0301", "News", "news"]
    with caplog.at_level(logging.WARNING, "corpusflow"):
        summary, out = run([(raw[number % 6], text) for number, text in enumerate(TEXTS[:18])])
    assert Counter(table(out)["label"]) == {"law": 6, "Café": 6, "News": 3, "news": 3}
    assert "2 labels were cleaned: 'Cafe\\u0301' → 'Café'; 'law ' → 'law'" in caplog.text
    alike = "'News' (3 documents) and 'news' (3 documents)"
    assert f"labels differ by case alone and stay different labels: {alike}" in caplog.text
    assert summary["labels_alike_but_for_case"] == alike
    assert summary["cleaned_labels"] == {"'Cafe\\u0301' → 'Café'": 3, "'law ' → 'law'": 3}


def test_case_is_compared_as_unicode_says():
    assert differ_by_case(["STRASSE", "Straße", "news", "new", "News", "news"]) == [
        ["News", "news"],
        ["STRASSE", "Straße"],
    ]


def test_a_label_without_a_visible_character_is_named(run):
    with pytest.raises(CorpusError, match=r"t\.csv:001: the label '\\u200b' has no visible character"):
        run([("law", TEXTS[0]), ("\u200b", TEXTS[1])])


def test_clean_labels_and_texts_say_nothing(run, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "corpusflow"):
        summary, out = run([("law", TEXTS[0]), ("food", TEXTS[1]), ("law", TEXTS[0])])
    assert summary == {"rows": 2, "grouped": 0, "dropped": {"exact_duplicate": 1}}
    assert not caplog.text
    assert table(out, "dropped").loc["002", "detail"] == "same text as 000, similarity 1.000"
    assert table(out, "conflicts").empty


TWICE = [("law", text) for text in TEXTS[:10]] + [("food", f"{text} \n") for text in TEXTS[:10]] + [("law", TEXTS[19])]


def test_a_text_under_two_labels_is_counted_and_named(run, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "corpusflow"):
        summary, out = run(TWICE)
    said = "10 texts are there under more than one label: t.csv:000 (law), t.csv:010 (food); t.csv:001 (law), t.csv:011"
    assert said in caplog.text
    assert "and 5 more; the first document of each is kept (cleaning.conflicting_labels: warn)" in caplog.text
    assert (summary["rows"], summary["conflicting_labels"], len(summary["conflicts"])) == (11, 10, 5)
    dropped = table(out, "dropped")
    assert set(dropped["label"]) == {"food"}
    assert dropped.loc["013", "detail"] == (
        "same text as 003, similarity 1.000; 003 has this text under the label 'law'"
    )
    conflicts = pd.read_parquet(out / "conflicts")
    assert len(conflicts) == 20
    assert set(conflicts.groupby("digest")["label"].nunique()) == {2}
    assert set(conflicts["digest"]) == set(table(out)["digest"].iloc[:10])


def test_the_report_names_them_too(run):
    _, out = run(TWICE)
    texts, labels = label_notices(out, ["News", "food", "law", "news"])
    assert texts.startswith(
        "10 texts are there under more than one label: t.csv:000 (law), t.csv:010 (food); t.csv:001"
    )
    assert labels == "Labels that differ by case alone: 'News' and 'news'."
    assert label_notices(out.parent / "in", ["food", "law"]) == []


def test_all_documents_of_such_a_text_can_be_dropped(run):
    third = [("food", "x" * 40), ("food", "x" * 40), ("law", "x" * 40)]  # the second has the label of the first
    summary, out = run([*TWICE, *third], conflicting_labels="drop_both")
    assert list(table(out).index) == ["020"]
    assert summary["dropped"] == {"conflicting_labels": 23}
    assert summary["conflicting_labels"] == 11
    dropped = table(out, "dropped")
    assert dropped.loc["000", "detail"] == "same text as 010, which has the label 'food'"
    assert dropped.loc["010", "detail"] == "same text as 000, which has the label 'law'"
    assert dropped.loc["022", "detail"] == "same text as 023, which has the label 'law'"


def test_a_near_duplicate_is_not_dropped_for_a_text_that_is_dropped_itself(run):
    words = some_words(1)
    rows = [("law", " ".join(words)), ("food", " ".join(words)), ("law", changed(words, 2))]
    summary, out = run(rows, conflicting_labels="drop_both", duplicates={"near": "drop"})
    assert list(table(out).index) == ["002"]
    assert summary["dropped"] == {"conflicting_labels": 2}


def test_or_they_stop_the_run(run):
    with pytest.raises(
        CorpusError, match=r"^10 texts are there .* t\.csv:000 \(law\), t\.csv:010 \(food\).*conflicting_labels to warn"
    ):
        run(TWICE, conflicting_labels="fail")


def test_labels_that_are_one_once_cleaned_do_not_conflict(run):
    summary, _ = run([("law", TEXTS[0]), ("law\u200b ", TEXTS[0]), ("food", TEXTS[1])], conflicting_labels="fail")
    assert "conflicting_labels" not in summary
    assert summary["dropped"] == {"exact_duplicate": 1}


@pytest.mark.parametrize("policy", ["group", "keep"])
def test_repeated_texts_that_are_kept_are_named_too(run, policy: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "corpusflow"):
        summary, _ = run(TWICE, duplicates={"exact": policy})
    assert "all of their documents are kept" in caplog.text
    assert (summary["rows"], summary["conflicting_labels"]) == (21, 10)
