"""What the check of cleaned documents lets pass, and what it finds."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.cleaning.digest import text_digest
from tasks.cleaning.schema import DOCUMENTS, DROPPED
from tasks.cleaning.settings import CleaningLimits, CleaningSettings
from tasks.cleaning.task import clean
from tasks.extraction.schema import DOCUMENTS as EXTRACTED
from tasks.shared.parquet import PartWriter

TEXTS = {f"{number:02}": f"This is the text of the document numbered {number}, {number * 7}." for number in range(20)}
TEXTS |= {"20": "Short.", "21": TEXTS["00"]}


@pytest.fixture
def check(tmp_path):
    """The expectations that fail after `damage` was done to one of the written tables."""
    from tasks.cleaning import contract
    from tasks.shared.checks.runner import run_contract

    def failing(table: str = "documents", damage=lambda rows: rows, settings=None, **limits) -> set[str]:
        chosen, out = settings or CleaningSettings(), tmp_path / "out"
        for folder in (out, tmp_path / "scratch"):
            folder.mkdir()
        with PartWriter(tmp_path / "in" / "documents", EXTRACTED) as writer:
            writer.write([{"doc_id": i, "label": "x", "source": "s", "text": t} for i, t in TEXTS.items()])
        clean.function(chosen, out, documents=tmp_path / "in", scratch=tmp_path / "scratch")
        part = out / table / "part-00000.parquet"
        rows = damage(pd.read_parquet(part).set_index("doc_id")).reset_index()
        schema = DOCUMENTS if table == "documents" else DROPPED
        pq.write_table(pa.Table.from_pandas(rows, schema=schema, preserve_index=False), part)
        results = run_contract(contract, out, {"documents": tmp_path / "in"}, chosen, CleaningLimits(**limits))
        return {
            f"{result.batch}: {result.arguments.get('column') or result.arguments.get('column_A')}"
            for result in results
            if not result.success
        }

    return failing


def put(column: str, value: str):
    def damage(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc["03", column] = value
        if column == "text":
            rows.loc["03", "digest"] = text_digest(value)
        return rows

    return damage


def test_good_documents_pass(check):
    assert check() == set()


@pytest.mark.parametrize(
    ("damage", "failure"),
    [
        (put("text", "The second half is damaged\x00\x01."), "documents 0: has_controls"),
        (put("text", "A next line\x85 is a control character."), "documents 0: has_controls"),
        (put("text", " \n" * 20), "documents 0: is_blank"),
        (put("digest", text_digest("Another text.")), "documents 0: is_digest"),
        (put("text", "Cut."), "documents 0: length"),
        (put("label", ""), "documents 0: label"),
        (put("group", "99"), "groups: has_document"),
        (lambda rows: rows.rename(index={"04": "05"}), "repeated ids: times"),
        (lambda rows: rows.rename(index={"04": "20"}), "repeated ids: times"),
        (lambda rows: rows.drop(index="07"), "counts: kept_or_dropped"),
    ],
)
def test_damaged_documents_are_found(check, damage, failure):
    assert failure in check("documents", damage)


def test_unknown_reasons_are_found(check):
    assert check("dropped", lambda rows: rows.assign(reason="whim")) == {"dropped: reason"}


@pytest.mark.parametrize(
    ("limits", "failure"),
    [
        ({"max_dropped_share": 0.05}, "counts: dropped_share"),
        ({"min_documents": 21}, "counts: kept"),
        ({"max_characters": 30}, "documents 0: characters"),
    ],
)
def test_limits_are_held(check, limits, failure):
    assert check(**limits) == {failure}


def test_controls_may_stay_where_the_settings_keep_them(check):
    settings = CleaningSettings(remove_controls=False, collapse_whitespace=False)
    assert check("documents", put("text", "A tab\tand a bell\x07 are kept."), settings) == set()
