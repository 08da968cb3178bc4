"""What spreadsheets, databases and other programs write in place of a CSV or JSON Lines: named, with what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tasks.extraction import table
from tasks.extraction.rows import Columns
from tasks.extraction.text_files import read_text
from tasks.shared.errors import CorpusError

PLAIN = "label,text\na,one\nb,two\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", PLAIN.encode("utf-32"), "this is UTF-32, not UTF-8; set extraction.table.encoding to utf-32"),
        ("t.csv", b"sep=,\n" + PLAIN.encode(), "the first line is 'sep=,', which is for Excel alone; remove it"),
        (
            "t.csv",
            b"PK\x03\x04\x14\x00",
            "a workbook, another document of an office program, or a zip archive, not text",
        ),
        ("t.csv", b"\xd0\xcf\x11\xe0", "an old office program, not text; export it as CSV in UTF-8"),
        ("t.csv", gzip.compress(PLAIN.encode()), "this is compressed by gzip, not text; name it t.csv.gz"),
        ("t.csv", PLAIN.title().encode(), "only Label, Text; set extraction.table.label_column to 'Label'"),
        ("t.csv", b" label\t,text\na,one\n", r"only ' label\t', text; set extraction.table.label_column to ' label\t'"),
        ("t.csv", b"l\x1babel,text\na,one\n", r"only 'l\x1babel', text; set"),
        ("t.jsonl", b'[\n{"label": "a"}\n]', "line 1 is not JSON (the beginning of an array); write one object"),
        ("t.jsonl", b'{"label": "a"},', "line 1 is not JSON (Extra data, character 15); write one object per line"),
    ],
)
def test_another_format_is_named_with_what_to_do(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError) as refused:
        list(table.documents(tmp_path / name, Columns("text", "label")))
    assert str(refused.value).startswith(f"{tmp_path / name}: ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0abc", "NUL at byte 0"),
        (b"%PDF-1.7\n\xe2\xe3", "this is a PDF document, not text; save its text, or remove the file"),
        ("text".encode("utf-32"), "this is UTF-32 (utf-32), not UTF-8; save it as UTF-8, or set"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a\.txt: ") as refused:
        read_text(tmp_path / "a.txt", "utf-8")
    assert message in str(refused.value)
