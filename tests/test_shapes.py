"""Corpora of unusual shape: each works, or is refused in one line that says what to do."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.corpus import Recipe as CorpusRecipe
from benchmarks.corpus import generate
from tasks.cleaning import contract
from tasks.cleaning.settings import CleaningLimits, CleaningSettings
from tasks.cleaning.task import clean
from tasks.extraction import csv_rows, folder, table
from tasks.extraction.document import Document
from tasks.extraction.rows import Columns
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract, sources
from tasks.shared.checks.runner import run_contract
from tasks.shared.engine.build import Build, build_artifact
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import read_table
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Store
from tasks.shared.store.fingerprint import Recipe
from tasks.splitting.assign import assign_splits
from tasks.splitting.rows import Rows
from tasks.splitting.schema import SPLITS
from tasks.splitting.settings import SplittingSettings
from tasks.splitting.task import split
from tasks.tokenization.settings import TokenizationSettings
from tasks.tokenization.task import tokenize
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.task import learn_vocabulary

COLUMNS = Columns("text", "label")
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def refused(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        list(table.documents(path, COLUMNS))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def made(root: Path, texts: list[tuple[str, str]]) -> tuple[dict[str, dict[str, Any]], dict[str, Path]]:
    """What the stages up to tokenization say about the texts, which are (label, text)."""
    source = root / "texts.jsonl"
    source.write_text("".join(json.dumps({"label": label, "text": text}) + "\n" for label, text in texts))
    settings = ExtractionSettings.model_validate({"source": "table", "table": {"path": str(source)}})
    places = {name: root / name for name in ("documents", "cleaned", "splits", "vocabulary", "tokens")}
    scratch = {name: root / f"scratch-{name}" for name in places}
    for place in (*places.values(), *scratch.values()):
        place.mkdir()
    documents, cleaned, splits, vocabulary, tokens = places.values()
    both = {"cleaned": cleaned, "splits": splits}
    said = {
        "extraction": extract.function(settings, documents),
        "cleaning": clean.function(CleaningSettings(), cleaned, documents=documents, scratch=scratch["cleaned"]),
        "splitting": split.function(SplittingSettings(small_labels="drop"), splits, cleaned=cleaned),
        "vocabulary": learn_vocabulary.function(
            VocabularySettings(size=400), vocabulary, **both, scratch=scratch["vocabulary"]
        ),
        "tokenization": tokenize.function(
            TokenizationSettings(), tokens, **both, vocabulary=vocabulary, scratch=scratch["tokens"]
        ),
    }
    return said, places


def test_documents_in_are_documents_out_and_dropped_by_reason(tmp_path: Path) -> None:
    recipe = CorpusRecipe(labels=4, words=30, vocabulary=500, duplicates=0.1, near_duplicates=0.1, dirty=0.3)
    texts = [
        *islice(generate(recipe), 300),
        ("rare", "a label with a single text of its own"),
        ("x", ""),
        ("x", "short"),
    ]
    said, _ = made(tmp_path, texts)
    assert said["extraction"]["rows"] == len(texts)
    assert said["cleaning"]["rows"] + sum(said["cleaning"]["dropped"].values()) == len(texts)
    assert said["cleaning"]["dropped"].keys() == {"empty", "exact_duplicate", "too_short"}
    assert said["splitting"]["rows"] + said["splitting"]["dropped"] == said["cleaning"]["rows"]
    assert said["splitting"]["dropped"] == 1
    assert said["tokenization"]["rows"] == said["splitting"]["rows"]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["=" * 9_000_000, "a" * 9_000_000, "one line of words " * 500_000])
def test_a_line_of_9_mb_passes_all_stages_up_to_tokenization(tmp_path: Path, text: str) -> None:
    texts = [(f"{number % 2}", f"the text number {number} of some words: {number * number}") for number in range(40)]
    said, places = made(tmp_path, [*texts, ("0", text)])
    assert {name: counts["rows"] for name, counts in said.items() if name != "vocabulary"} == dict.fromkeys(
        ("extraction", "cleaning", "splitting", "tokenization"), 41
    )
    lengths = read_table(places["tokens"] / "tokens", ["length"])["length"].to_pylist()
    assert max(lengths) >= len(text) / 256


def test_a_row_in_two_blocks_of_the_reader_is_read_and_one_in_three_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 2**16)
    file = tmp_path / "t.csv"
    file.write_text(f"label,text\nx,one\ny,{'a' * 90_000}\n")
    assert sorted(len(document.text) for document in table.documents(file, COLUMNS)) == [3, 90_000]
    file.write_text(f"label,text\nx,one\ny,{'a' * 200_000}\n")
    assert refused(file).endswith(
        "t.csv: a row after row 1 is longer than 65,536 bytes, the most that a CSV's reader holds; shorten it, or give "
        "the table as Parquet"
    )


def test_a_part_with_another_schema_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": ["x"], "text": ["one"]}), tmp_path / "part-0.parquet")
    pq.write_table(pa.table({"label": ["x"], "body": ["two"]}), tmp_path / "part-1.parquet")
    assert "part-1.parquet: no column 'text', only label, body" in refused(tmp_path)
    pq.write_table(pa.table({"label": ["x"], "text": [2]}), tmp_path / "part-1.parquet")
    assert "part-1.parquet: column 'text' holds int64, not strings" in refused(tmp_path)


def test_one_label_with_nearly_all_texts() -> None:
    documents = [Document(f"{n:04d}", "rare" if n < 5 else "common", group=f"{n:04d}") for n in range(5000)]
    splits = assign_splits(Rows.of_documents(documents), SHARES)
    counts = Counter((document.label, SPLITS[split]) for document, split in zip(documents, splits, strict=True))
    assert [counts["rare", name] for name in SPLITS] == [3, 1, 1]
    assert [counts["common", name] for name in SPLITS] == pytest.approx([3996, 500, 500], abs=1)


def test_a_file_that_vanishes_while_the_folder_is_read_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text("text")
    reading = folder.documents(tmp_path)
    next(reading)
    (tmp_path / "b" / "1.txt").unlink()
    with pytest.raises(CorpusError, match=r"b/1\.txt: not readable \(No such file or directory\)"):
        next(reading)


def test_a_source_that_grows_while_it_is_read_is_no_artifact(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"label": "x", "text": "one"}\n')
    settings = ExtractionSettings.model_validate({"source": "table", "table": {"path": str(file)}})
    found = {"settings": {}, "inputs": {}, "code": {}, "libraries": {}}

    @stage("extraction", "01_documents", libraries=(), external_digests=lambda _, known: sources(settings, known))
    def growing(_: Section, out: Path) -> dict[str, Any]:
        result = extract.function(settings, out)
        with file.open("a") as opened:
            opened.write('{"label": "x", "text": "two"}\n')
        return result

    recipe = Recipe(stage="extraction", sources=sources(settings), **found)
    order = Build(growing, Store(tmp_path / "data", "stat"), Section(), Section(), recipe, {})
    with pytest.raises(CorpusError, match=r"^the source of extraction changed while it was read; run again"):
        build_artifact(order)
    assert not order.staging.exists()


def test_a_corpus_of_empty_texts_is_refused_by_the_check_in_one_line(tmp_path: Path) -> None:
    source = tmp_path / "t.parquet"
    count = 30_000
    pq.write_table(
        pa.table({"id": list(map(str, range(count))), "label": ["x"] * count, "text": [" "] * count}), source
    )
    columns = {"path": str(source), "doc_id_column": "id"}
    settings = ExtractionSettings.model_validate({"source": "table", "table": columns})
    for name in ("documents", "cleaned", "scratch"):
        (tmp_path / name).mkdir()
    assert extract.function(settings, tmp_path / "documents")["rows"] == count
    inputs = {"documents": tmp_path / "documents"}
    said = clean.function(CleaningSettings(), tmp_path / "cleaned", **inputs, scratch=tmp_path / "scratch")
    assert (said["rows"], said["dropped"]) == (0, {"empty": count})
    results = run_contract(contract, tmp_path / "cleaned", inputs, CleaningSettings(), CleaningLimits())
    failed = {str(result.arguments["column"]): result for result in results if not result.success}
    assert failed.keys() == {"kept", "dropped_share"}
    assert "30,000 empty" in failed["dropped_share"].reason
    assert "\n" not in failed["dropped_share"].reason
