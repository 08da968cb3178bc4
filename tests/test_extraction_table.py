"""Tables: Parquet, CSV, JSON Lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.extraction import table
from tasks.extraction.document import Document
from tasks.extraction.rows import Columns, TextFormat
from tasks.shared.errors import CorpusError

NAMED = Columns("text", "label", "name")
UNNAMED = Columns("text", "label")
ROWS = [
    {"name": "b", "label": "x", "text": "Two,\n“lines”", "other": 1},
    {"name": "a", "label": "y", "text": "", "other": 2},
    {"name": "c", "label": "x", "text": "Three", "other": 3},
]


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    file = folder / f"corpus.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv":
        pyarrow.csv.write_csv(pa.Table.from_pylist(rows), file)
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def refused(file: Path, *parts: str, columns: Columns = NAMED) -> None:
    with pytest.raises(CorpusError) as caught:
        list(table.documents(file, columns))
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_rows_become_documents_in_the_order_of_their_ids(tmp_path: Path, kind: str) -> None:
    file = write(tmp_path, kind, ROWS)
    unit = "line" if kind == "jsonl" else "row"
    assert list(table.documents(file, NAMED)) == [
        Document("a", "y", f"corpus.{kind} {unit} 2", ""),
        Document("b", "x", f"corpus.{kind} {unit} 1", "Two,\n“lines”"),
        Document("c", "x", f"corpus.{kind} {unit} 3", "Three"),
    ]


def test_a_folder_of_parts_is_one_table(tmp_path: Path) -> None:
    for number, row in enumerate(ROWS):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"part-{number}.parquet")
    (tmp_path / "_SUCCESS").touch()
    assert [document.source for document in table.documents(tmp_path, NAMED)] == [
        "part-1.parquet row 1",
        "part-0.parquet row 1",
        "part-2.parquet row 1",
    ]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_whole_numbers_serve_as_labels_and_ids(tmp_path: Path, kind: str) -> None:
    file = write(tmp_path, kind, [{"name": 7, "label": 0, "text": "seven"}])
    assert [tuple(document)[:2] for document in table.documents(file, NAMED)] == [("7", "0")]


def test_csv_values_are_taken_as_written(tmp_path: Path) -> None:
    (tmp_path / "corpus.csv").write_text("\ufefftext,label,name\nNA,01,null\n", encoding="utf-8")
    assert list(table.documents(tmp_path / "corpus.csv", NAMED)) == [Document("null", "01", "corpus.csv row 1", "NA")]


def test_categories_of_pandas_are_read(tmp_path: Path) -> None:
    labels = pa.array(["x", "y", "x"]).dictionary_encode()
    pq.write_table(pa.table({"text": ["1", "2", "3"], "label": labels}), tmp_path / "corpus.parquet")
    assert {document.label for document in table.documents(tmp_path / "corpus.parquet", UNNAMED)} == {"x", "y"}


texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8), min_size=1, max_size=12
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=texts, new=texts)
def test_made_ids_stay_when_rows_are_added(tmp_path: Path, old: list[str], new: list[str]) -> None:
    def ids(written: list[str]) -> dict[str, str]:
        file = write(tmp_path, "jsonl", [{"text": text, "label": "x"} for text in written])
        return {document.doc_id: document.text for document in table.documents(file, UNNAMED)}

    before, after = ids(old), ids(old + new)
    assert len(before) == len(old)
    assert before.items() <= after.items()
    assert list(after) == sorted(after)
    assert ids(new + old) == after


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_missing_column_lists_those_that_are_there(tmp_path: Path, kind: str) -> None:
    file = write(tmp_path, kind, ROWS)
    refused(file, "no column 'body', only name, label, text, other", "text_column", columns=Columns("body", "label"))
    refused(file, "no column 'id'", "extraction.table.doc_id_column", columns=Columns("text", "label", "id"))


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize("column", ["text", "label", "name"])
def test_a_null_names_its_row(tmp_path: Path, kind: str, column: str) -> None:
    file = write(tmp_path, kind, [*ROWS, ROWS[0] | {column: None}])
    refused(file, "corpus", "4", f"no value in {'column ' if kind == 'parquet' else ''}'{column}'")


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize(("column", "value"), [("text", 5), ("label", 0.5), ("name", [1]), ("label", True)])
def test_a_wrong_type_names_its_column(tmp_path: Path, kind: str, column: str, value: object) -> None:
    refused(write(tmp_path, kind, [ROWS[0] | {column: value}]), f"'{column}'", "convert it")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "label"', "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object, but '[1]'"),
        ("null", "line 2 is not a JSON object"),
        ('{"text": "\\ud800", "label": "x"}', "line 2 has half a surrogate pair in 'text'"),
        ("[" * 100_000, "line 2 is not JSON"),
        ('{"text": "b", "body": "c"}', "line 2 has no key 'label', only text, body; add it or remove the line"),
        ('{"text": "b", "label": "x", "text": "c"}', "line 2 is not JSON (it has 'text' twice)"),
        ('{"text": "b", "label": "x\\u0000y"}', "line 2 has NUL in 'label'"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text(f'{{"text": "a", "label": "x"}}\n{line}\n', encoding="utf-8")
    refused(file, message, columns=UNNAMED)


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "corpus.ndjson").write_text('\n{"text": "a", "label": "x"}\n\n')
    assert [document.source for document in table.documents(tmp_path / "corpus.ndjson", UNNAMED)] == [
        "corpus.ndjson line 2"
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_wrong_encoding_names_the_byte(tmp_path: Path, kind: str) -> None:
    file = write(tmp_path, kind, ROWS * 3)
    content = file.read_bytes().replace(b"Three", b"Thr\xe9e")
    file.write_bytes(content)
    refused(file, f"not UTF-8 at byte {content.index(0xE9)}")


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "corpus.csv").write_text("text,label,text\na,x,b\n")
    refused(tmp_path / "corpus.csv", "more than one column 'text'", columns=UNNAMED)


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet PAR1", b"\0\xff\0\xff"])
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, kind: str, content: bytes) -> None:
    file = tmp_path / f"corpus.{kind}"
    file.write_bytes(content)
    if kind == "jsonl" and not content:
        assert list(table.documents(file, UNNAMED)) == []  # no line at all: no documents, which the caller refuses
    else:
        refused(file, f"corpus.{kind}", columns=UNNAMED)


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "parquet", ROWS)
    file.write_bytes(file.read_bytes()[:-20])
    refused(file, "not readable as Parquet")


def test_what_is_no_table_says_what_is(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "no such file or folder", "extraction.table.path")
    (tmp_path / "corpus.xlsx").touch()
    refused(tmp_path / "corpus.xlsx", "unknown kind of table", ".parquet, .csv, .tsv, .jsonl, .ndjson")
    refused(tmp_path / "corpus.csv", "no such file", "extraction.table.path")
    refused(tmp_path, "no .parquet file in this folder")


def test_parts_in_capitals_are_not_lost(tmp_path: Path) -> None:
    for name in ("A.PARQUET", "b.parquet"):
        pq.write_table(pa.table({"text": [name], "name": [name]}), tmp_path / name)
    assert [file.name for file in table.table_files(tmp_path)] == ["A.PARQUET", "b.parquet"]


def test_the_digest_follows_names_and_contents(tmp_path: Path) -> None:
    file = write(tmp_path, "jsonl", ROWS)
    first = table.digest(file)
    second = table.digest(file.rename(tmp_path / "renamed.jsonl"))
    third = table.digest(write(tmp_path, "jsonl", ROWS[:2]))
    assert len({first, second, third}) == 3
    assert table.digest(write(tmp_path, "jsonl", ROWS)) == first


def partitioned(folder: Path, place: str, texts: list[str]) -> Path:
    (folder / place).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts, "name": texts}), folder / place / "part-0.parquet")
    return folder


def test_a_parquet_folder_partitioned_by_hive_has_the_columns_of_its_folders(tmp_path: Path) -> None:
    partitioned(tmp_path, "year=2024/label=a%2Fb", ["one"])
    partitioned(tmp_path, "year=2025/label=c", ["two"])
    (tmp_path / "_temporary").mkdir()
    assert list(table.documents(tmp_path, NAMED)) == [
        Document("one", "a/b", "year=2024/label=a%2Fb/part-0.parquet row 1", "one"),
        Document("two", "c", "year=2025/label=c/part-0.parquet row 1", "two"),
    ]
    before = table.digest(tmp_path)
    (tmp_path / "year=2025/label=c").rename(tmp_path / "year=2025/label=d")
    assert table.digest(tmp_path) != before
    refused(tmp_path, "no column 'body', only text, name, year, label", columns=Columns("body", "label"))


def test_a_partition_without_a_value_and_other_subfolders_are_named(tmp_path: Path) -> None:
    partitioned(tmp_path / "null", "label=__HIVE_DEFAULT_PARTITION__", ["one"])
    refused(tmp_path / "null", "row 1 has no value in column 'label'")
    partitioned(tmp_path / "plain", "2024", ["one"])
    partitioned(tmp_path / "plain", ".", ["two"])
    refused(tmp_path / "plain", "plain/2024: .parquet files in a subfolder that is not named KEY=VALUE")


@pytest.mark.parametrize("column", ["label", "name", "text"])
def test_nul_in_a_label_an_id_or_a_text_names_the_row(tmp_path: Path, column: str) -> None:
    refused(write(tmp_path, "parquet", [*ROWS, ROWS[0] | {column: "x\0y"}]), f"row 4 has NUL in '{column}' ('x\\x00y')")


@pytest.mark.parametrize("column", ["label", "name", "text"])
def test_bytes_that_are_not_utf8_name_the_row(tmp_path: Path, column: str) -> None:
    found = {name: [row[name].encode() for row in ROWS] for name in ("name", "label", "text")}
    found[column][2] = b"caf\xe9"
    arrays = {name: pa.array(values).view(pa.string()) for name, values in found.items()}
    pq.write_table(pa.table(arrays), tmp_path / "corpus.parquet")
    refused(tmp_path / "corpus.parquet", f"corpus.parquet: row 3 is not UTF-8 in column '{column}'")


def test_a_message_lists_twenty_columns(tmp_path: Path) -> None:
    file = write(tmp_path, "parquet", [{f"c{number}": 1 for number in range(500)}])
    refused(file, "c18, c19 and 480 more; set extraction.table.label_column", columns=UNNAMED)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_compressed_table_is_read(tmp_path: Path, kind: str) -> None:
    plain = write(tmp_path, kind, ROWS)
    packed = tmp_path / f"{plain.name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    expected = [document._replace(source="") for document in table.documents(plain, NAMED)]
    assert [document._replace(source="") for document in table.documents(packed, NAMED)] == expected
    packed.write_bytes(packed.read_bytes()[:-20])
    refused(packed, "damaged gzip file")
    packed.write_bytes(plain.read_bytes())
    refused(packed, "damaged gzip file")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "shift_jis"])
def test_the_encoding_of_a_table_is_a_setting(tmp_path: Path, kind: str, encoding: str) -> None:
    text = "日本" if encoding == "shift_jis" else "naïve"
    file = write(tmp_path, kind, [{"text": f"{text} {number}", "label": "x"} for number in range(50)])
    if kind == "jsonl":
        lines = [json.dumps({"text": f"{text} {number}", "label": "x"}, ensure_ascii=False) for number in range(50)]
        file.write_text("\n".join(lines), encoding="utf-8")
    file.write_bytes(file.read_text(encoding="utf-8").encode(encoding))
    found = table.documents(file, UNNAMED, TextFormat(encoding))
    assert {document.text for document in found} == {f"{text} {number}" for number in range(50)}
    named = (
        "not UTF-8 at byte" if encoding in ("cp1252", "shift_jis") else f"set extraction.table.encoding to {encoding}"
    )
    refused(file, named, "extraction.table.encoding", columns=UNNAMED)


def test_another_encoding_than_the_set_one_names_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "corpus.csv"
    file.write_bytes(b"text,label\none,x\ncaf\xc3,y\n")
    with pytest.raises(CorpusError, match=r"not ASCII at byte 20; save it as ASCII, or set extraction.table.encoding"):
        list(table.documents(file, UNNAMED, TextFormat("ascii")))
