"""The checks of vocabulary and tokens: what the stages make passes, each kind of damage is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from token_corpus import DOCUMENTS, document, write_artifacts

from tasks.extraction.document import Document
from tasks.shared.checks.report import CheckReport
from tasks.tokenization.settings import TokenizationLimits, TokenizationSettings
from tasks.tokenization.task import tokenize
from tasks.vocabulary.settings import VocabularyLimits, VocabularySettings
from tasks.vocabulary.task import learn_vocabulary

VOCABULARY = VocabularySettings(size=320)
Rows = list[dict[str, Any]]


class Built(NamedTuple):
    """Both artifacts, and what they were made from."""

    inputs: dict[str, Path]
    tokens: Path

    @property
    def vocabulary(self) -> Path:
        return self.inputs["vocabulary"]


def _chinese(number: int) -> str:
    return "".join(Random(number).choices([chr(code) for code in range(0x4E00, 0x5800)], k=20))


@pytest.mark.parametrize("text", [_chinese, lambda number: "—" * 20_000 + str(number), lambda number: "A" * 20_000])
def test_scripts_without_spaces_and_long_runs_are_within_the_limits(tmp_path: Path, text: Callable[[int], str]) -> None:
    splits = ("train", "train", "validation", "test")
    built = build(tmp_path, [document(f"{n:02d}", "ab"[n % 2], splits[n % 4], text(n)) for n in range(24)])
    assert check_tokens(built).failures == []


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return build(tmp_path, DOCUMENTS)


def build(tmp_path: Path, documents: Sequence[Document]) -> Built:
    given = write_artifacts(tmp_path, documents)._asdict()
    vocabulary, tokens = tmp_path / "vocabulary", tmp_path / "tokens"
    vocabulary.mkdir()
    tokens.mkdir()
    learn_vocabulary.function(VOCABULARY, vocabulary, **given, scratch=tmp_path / "scratch")
    tokenize.function(
        TokenizationSettings(), tokens, **given, vocabulary=vocabulary, scratch=tokens.with_name("scratch")
    )
    return Built({**given, "vocabulary": vocabulary}, tokens)


def check_vocabulary(built: Built, limits: VocabularyLimits | None = None) -> CheckReport:
    from tasks.shared.checks.runner import run_contract
    from tasks.vocabulary import contract

    limits = limits or VocabularyLimits()
    return CheckReport(results=run_contract(contract, built.vocabulary, built.inputs, VOCABULARY, limits))


def check_tokens(
    built: Built, settings: TokenizationSettings | None = None, limits: TokenizationLimits | None = None
) -> CheckReport:
    from tasks.shared.checks.runner import run_contract
    from tasks.tokenization import contract

    settings, limits = settings or TokenizationSettings(), limits or TokenizationLimits()
    return CheckReport(results=run_contract(contract, built.tokens, built.inputs, settings, limits))


def rewrite(dataset: Path, change: Callable[[Rows], object], metadata: dict[bytes, bytes] | None = None) -> None:
    """Damages the only part of a dataset."""
    part = dataset / "part-00000.parquet"
    table = pq.read_table(part)
    rows = table.to_pylist()
    change(rows)
    schema = table.schema.with_metadata({**(table.schema.metadata or {}), **(metadata or {})})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), part)


def failed(report: CheckReport) -> set[str]:
    """The columns that failing expectations speak of."""
    columns = (result.arguments for result in report.results if not result.success)
    return {str(given.get("column") or given.get("column_A") or "rows") for given in columns}


def test_what_the_stages_make_passes(built: Built) -> None:
    for report in (check_vocabulary(built), check_tokens(built)):
        assert report.failures == []
        assert len(report.results) > 5
        assert all(result.reason for result in report.results)


def edit(row: int, **values: Any) -> Callable[[Rows], object]:
    return lambda rows: rows[row].update(values)


VOCABULARY_DAMAGES: dict[str, tuple[Callable[[Rows], object], set[str]]] = {
    "a row is gone": (lambda rows: rows.pop(), {"missing"}),
    "a byte is gone": (lambda rows: rows.pop(100), {"token_id", "bytes"}),
    "far too many": (lambda rows: rows.extend([rows[-1]] * 50), {"rows", "token_id", "token", "merge_rank"}),
    "an id twice": (edit(270, token_id=269), {"token_id", "as_in_tokenizer"}),
    "a rank twice": (edit(270, merge_rank=3), {"merge_rank"}),
    "a negative count": (edit(270, count=-1), {"count"}),
    "another [PAD]": (edit(0, token="<pad>"), {"special_tokens", "as_in_tokenizer"}),
    "never used": (lambda rows: [row.update(count=0) for row in rows], {"occurrences", "unused_share"}),
    "a text is not counted": (lambda rows: rows[270].update(count=rows[270]["count"] + 1), {"counted_bytes"}),
}


@pytest.mark.parametrize("damage", VOCABULARY_DAMAGES)
def test_a_damaged_table_of_tokens_is_found(built: Built, damage: str) -> None:
    change, columns = VOCABULARY_DAMAGES[damage]
    rewrite(built.vocabulary / "tokens", change)
    report = check_vocabulary(built)
    assert columns <= failed(report)
    assert report.failures


def test_unused_tokens_only_warn(built: Built) -> None:
    def spell_in_bytes(rows: Rows) -> None:
        rows[2]["count"] = sum(row["count"] * len(row["bytes"]) for row in rows)
        for row in rows[3:]:
            row["count"] = 0

    rewrite(built.vocabulary / "tokens", spell_in_bytes)
    report = check_vocabulary(built)
    assert report.failures == []
    assert [warning.arguments["column"] for warning in report.warnings] == ["unused_share"]


TOKEN_DAMAGES: dict[str, tuple[Callable[[Rows], object], str]] = {
    "an id too large": (edit(1, token_ids=[320], length=1), "largest_id"),
    "an unknown token": (lambda rows: rows[1]["token_ids"].__setitem__(0, 1), "unknown_share"),
    "a wrong length": (edit(1, length=7), "length"),
    "no tokens": (edit(1, token_ids=[], length=0), "length"),
    "another label": (edit(1, label="news"), "as_in_splits"),
    "another split": (edit(1, split="train"), "as_in_splits"),
    "an unknown split": (edit(1, split="holdout"), "split"),
    "a document twice": (lambda rows: rows.insert(1, rows[0]), "doc_id"),
    "a document gone": (lambda rows: rows.pop(), "missing"),
    "no document": (lambda rows: rows.clear(), "missing"),
    "text lost": (edit(2, token_ids=[9], length=1), "spells_text"),
}


@pytest.mark.parametrize("damage", TOKEN_DAMAGES)
def test_damaged_tokens_are_found(built: Built, damage: str) -> None:
    change, column = TOKEN_DAMAGES[damage]
    rewrite(built.tokens / "tokens", change)
    assert column in failed(check_tokens(built))


@pytest.mark.parametrize(
    ("metadata", "column"),
    [
        ({b"vocabulary_digest": b"00"}, "vocabulary_matches"),
        ({b"vocabulary_size": b"319"}, "vocabulary_matches"),
        ({b"labels": b'["fiction"]'}, "labels_match"),
        ({b"labels": b'["news", "fiction"]'}, "labels_match"),
    ],
)
def test_metadata_that_fits_nothing_is_found(built: Built, metadata: dict[bytes, bytes], column: str) -> None:
    rewrite(built.tokens / "tokens", lambda rows: None, metadata)
    assert failed(check_tokens(built)) == {column}


def test_limits_come_from_the_settings(built: Built) -> None:
    assert failed(check_tokens(built, limits=TokenizationLimits(max_tokens_per_byte=0.1))) == {"tokens_per_byte"}
    assert failed(check_tokens(built, TokenizationSettings(max_tokens=5))) == {"length"}
    assert check_vocabulary(built, VocabularyLimits(max_unused_share=0)).warnings


def test_tokens_cut_short_pass(built: Built, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    settings = TokenizationSettings(max_tokens=5)
    tokenize.function(settings, cut, **built.inputs, scratch=tmp_path / "scratch")
    assert check_tokens(Built(built.inputs, cut), settings).failures == []


def test_wider_integers_than_needed_are_found(built: Built) -> None:
    part = built.tokens / "tokens" / "part-00000.parquet"
    table = pq.read_table(part)
    wide = pa.list_(pa.field("element", pa.uint32(), nullable=False))
    pq.write_table(table.set_column(3, pa.field("token_ids", wide), table["token_ids"].cast(wide)), part)
    assert failed(check_tokens(built)) == {"smallest_id_type"}
