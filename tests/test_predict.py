"""Prediction: input formats, output, resumption after an interruption, and verification of the model."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Pipeline, write_corpus

from tasks.prediction.unlabelled import Source, read_texts, source_digest
from tasks.shared.errors import CorpusError


def ids_and_texts(source: Source) -> list[tuple[str, str]]:
    return [(document.doc_id, document.text) for document in read_texts(source)]


def test_a_folder_is_read_with_the_folders_in_it(tmp_path: Path):
    (tmp_path / "in/.hidden").mkdir(parents=True)
    (tmp_path / "b.txt").write_text("zwei")
    (tmp_path / "in/a.txt").write_bytes("eins ä".encode("latin-1"))
    (tmp_path / "in/.hidden/c.txt").write_text("nicht")
    source = Source(tmp_path, encoding="latin-1")
    assert ids_and_texts(source) == [("b.txt", "zwei"), ("in/a.txt", "eins ä")]
    with pytest.raises(CorpusError, match=r"a\.txt: not utf-8 at byte 5"):
        list(read_texts(Source(tmp_path)))


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_table_needs_no_labels(tmp_path: Path, kind: str):
    frame = pd.DataFrame({"id": ["x", "y"], "text": ["one", "two"], "other": [1, 2]})
    path = tmp_path / f"t.{kind}"
    {
        "parquet": lambda: frame.to_parquet(path),
        "csv": lambda: frame.to_csv(path, index=False),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
    }[kind]()
    row = "line" if kind == "jsonl" else "row"
    assert ids_and_texts(Source(path)) == [(f"t.{kind} {row} 1", "one"), (f"t.{kind} {row} 2", "two")]
    assert ids_and_texts(Source(path, doc_id_column="id")) == [("x", "one"), ("y", "two")]
    with pytest.raises(CorpusError, match=r"no column 'body', only id, text, other; set --text-column"):
        list(read_texts(Source(path, text_column="body")))


def test_advice_names_the_options_of_the_command(tmp_path: Path):
    (tmp_path / "t.csv").write_text("id;text\n1;one\n")
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "t.xlsx").touch()
    for source, advice in (
        (Source(tmp_path / "t.csv"), "separated by semicolons, not commas; set --separator to ';'"),
        (Source(tmp_path / "t.csv", "id", "key", separator=";"), "no column 'key', only id, text; set --doc-id-column"),
        (Source(tmp_path / "t.xlsx"), "unknown kind of table; name a file in .parquet"),
        (Source(tmp_path / "t.jsonl"), "no such file or folder; name a table"),
        (Source(tmp_path), "save it as utf-8, or set --encoding"),
    ):
        with pytest.raises(CorpusError) as caught:
            list(read_texts(source))
        assert advice in str(caught.value)
        assert "extraction." not in str(caught.value)
    assert ids_and_texts(Source(tmp_path / "t.csv", separator=";")) == [("t.csv row 1", "one")]
    with pytest.raises(CorpusError, match="';;' is not one ASCII character"):
        Source(tmp_path, separator=";;")


def test_an_unclosed_quote_names_its_row(tmp_path: Path):
    (tmp_path / "t.csv").write_text('id,text\n1,one\n2,"two\n3,three\n')
    with pytest.raises(CorpusError, match=r"t\.csv: row 2: a quote opens and never closes"):
        next(read_texts(Source(tmp_path / "t.csv")))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,a\n2,b\n1,c\n", r"doc_id '1' occurs twice, in t\.csv row 1 and in t\.csv row 3; .*--doc-id-column"),
        ('1,a\n" ",b\n', r"t\.csv row 2: the doc_id is empty"),
    ],
)
def test_repeated_and_empty_ids_stop_the_batch(tmp_path: Path, rows: str, message: str):
    (tmp_path / "t.csv").write_text(f"id,text\n{rows}")
    with pytest.raises(CorpusError, match=message):
        next(read_texts(Source(tmp_path / "t.csv", doc_id_column="id")))  # before any answer


def test_sources_that_cannot_be_meant_are_refused(tmp_path: Path):
    with pytest.raises(CorpusError, match=r"^https:/example\.org/t\.csv: URLs are not read here; download the texts"):
        Source(Path("https://example.org/t.csv"))
    with pytest.raises(CorpusError, match=r"^--text-column and --doc-id-column are both 'id'; they must differ$"):
        Source(tmp_path, "id", "id")


def test_tables_in_a_folder_of_texts_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "a.csv").write_text("id,text\n1,one\n")
    (tmp_path / "b.txt").write_text("two")
    assert [doc_id for doc_id, _ in ids_and_texts(Source(tmp_path))] == ["a.csv", "b.txt"]
    assert "predict: 1 file with the name of a table, each read as one text, not row by row: a.csv" in caplog.text


def test_what_is_no_text_file_is_named_and_not_passed_over(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("one")
    odd = tmp_path / "in/odd"
    for make, message in (
        (lambda: os.mkfifo(odd), "odd: a pipe or a device, not a text file"),
        (lambda: odd.symlink_to("nothing"), "odd: a broken link, not a text file"),
        (lambda: odd.symlink_to(tmp_path), "odd: a link to a folder, not a text file"),
        (lambda: Path(os.fsdecode(bytes(odd) + b"\xff")).write_text("two"), r"the name 'odd\\udcff' is not UTF-8"),
    ):
        make()
        for read in (lambda: list(read_texts(Source(tmp_path))), lambda: source_digest(Source(tmp_path))):
            with pytest.raises(CorpusError, match=message):
                read()
        odd.unlink(missing_ok=True)


def test_files_of_systems_and_editors_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "a.txt").write_text("one")
    for name in ("Thumbs.db", "desktop.ini", "a.txt~", "a.txt.bak", "#a.txt#", "~$a.docx"):
        (tmp_path / name).write_bytes(b"\xd0\xcf")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/a.txt").write_text("two")
    assert ids_and_texts(Source(tmp_path)) == [("a.txt", "one")]
    assert "left out 7 files of systems and editors: #a.txt#, Thumbs.db, __MACOSX, a.txt.bak" in caplog.text


def test_a_digest_changes_with_the_content_and_the_reading_options(tmp_path: Path):
    (tmp_path / "a.txt").write_text("one")
    before = source_digest(Source(tmp_path))
    assert source_digest(Source(tmp_path)) == before
    assert source_digest(Source(tmp_path, encoding="latin-1")) != before
    (tmp_path / "a.txt").write_text("two")
    assert source_digest(Source(tmp_path)) != before


def test_an_unknown_encoding_is_named(tmp_path: Path):
    with pytest.raises(CorpusError, match="'utf-9' is not a text encoding"):
        Source(tmp_path, encoding="utf-9")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_an_invalid_source_is_named(tmp_path: Path, make: Any):
    make(tmp_path / "thing")
    with pytest.raises(CorpusError, match="thing: "):
        list(read_texts(Source(tmp_path / "thing")))


def read(result: Any) -> pd.DataFrame:
    return pd.read_parquet(result["path"])


@pytest.mark.slow
def test_a_killed_batch_resumes_with_the_same_result(pipeline: Pipeline):
    write_corpus(pipeline.texts, documents=30)
    pipeline.configure(training={"epochs": 3})
    assert pipeline("run").code == 0
    words = "apple1 river1 stone1 cloud1 tiger1 the of and to a".split()
    texts = [" ".join(words[(i + k) % 10] for k in range(60)) for i in range(6000)]
    frame = pd.DataFrame({"id": [f"{i:05d}" for i in range(6000)], "text": texts})
    frame.loc[17, "text"] = " \t"
    frame.to_parquet(pipeline.root / "many.parquet")
    command = ("predict-batch", "many.parquet", "--doc-id-column", "id", "--part-rows", "500", "--json")

    process = pipeline.start(*command)
    until = time.monotonic() + 200
    while len(parts := finished_parts(pipeline)) < 2 and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert 2 <= len(parts) < 12
    kept = {path: path.stat().st_mtime_ns for path in finished_parts(pipeline)}

    resumed = pipeline(*command)
    assert resumed.code == 0, resumed.err
    assert (resumed.json["rows"], resumed.json["parts"]) == (6000, 12)
    assert resumed.json["reused_parts"] == len(kept)
    assert resumed.json["without_text"] == 1
    assert "part 12 finished, 6,000 texts so far" in resumed.err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    table = read(resumed.json)
    assert list(table["doc_id"]) == list(frame["id"])
    champion = pipeline("champion", "--json").json["champion"]["model"]
    assert set(table["model"]) == {champion} == {resumed.json["model"]}
    probabilities = table.filter(like="probability_")
    assert list(probabilities) == ["probability_label0", "probability_label1", "probability_label2"]
    assert probabilities.iloc[17].isna().all()
    assert table["predicted"].isna().sum() == 1
    assert np.allclose(probabilities.drop(index=17).sum(axis=1), 1)

    one = pipeline("predict", "-", "--json", stdin=texts[5000]).json["predictions"][0]["probabilities"]
    assert np.allclose(list(one.values()), probabilities.iloc[5000])
    again = pipeline(*command)
    assert again.json["reused_parts"] == 12
    assert json.loads(Path(again.json["path"], "_predictions.json").read_text())["rows"] == 6000
    other = pipeline("predict-batch", str(pipeline.texts), "--json")
    assert other.json["path"] != again.json["path"]
    frame.head(0).to_parquet(pipeline.root / "none.parquet")
    for _ in range(2):
        none = pipeline("predict-batch", "none.parquet", "--doc-id-column", "id", "--json")
        assert (none.code, none.json["rows"]) == (0, 0), none.err
        assert "predict: none.parquet has no rows, so its predictions have none: " in none.err
        assert "0 texts" not in none.err
        assert list(read(none.json)) == list(table)
    assert set(read(other.json)["doc_id"]) == {
        p.relative_to(pipeline.texts).as_posix() for p in pipeline.texts.rglob("*.txt")
    }


def finished_parts(pipeline: Pipeline) -> list[Path]:
    return sorted(pipeline.data.glob("predictions/*/part-*.parquet"))


def test_a_batch_without_a_model_says_what_to_do(pipeline: Pipeline):
    result = pipeline("predict-batch", "texts")
    assert result.code == 2
    assert "corpusflow: " in result.err
    assert "no training artifact yet; `corpusflow run` makes one" in result.err
    assert "Traceback" not in result.err
