"""What spreadsheets, databases and other programs write in place of a CSV or JSON Lines: named, with what to do."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tasks.extraction import table
from tasks.extraction.rows import Columns, TextFormat
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
        ("t.csv", gzip.compress(PLAIN.encode(), mtime=0), "this is compressed by gzip, not text; name it t.csv.gz"),
        ("t.csv", PLAIN.title().encode(), "only Label, Text; set extraction.table.label_column to 'Label'"),
        ("t.csv", b" label\t,text\na,one\n", r"only ' label\t', text; set extraction.table.label_column to ' label\t'"),
        ("t.csv", b"l\x1babel,text\na,one\n", r"only 'l\x1babel', text; set"),
        ("t.jsonl", b'[\n{"label": "a"}\n]', "line 1 is not JSON (the beginning of an array); write one object"),
        ("t.csv", b"\xef\xbb\xbf", "nothing is in it; a table begins with the names of its columns"),
        ("t.csv.gz", b"", "nothing is in it"),
        (
            "t.csv",
            b"\xef\xbb\xbf\xef\xbb\xbflabel,text\na,one\n",
            r"set extraction.table.label_column to '\ufefflabel'",
        ),
        (
            "t.csv.gz",
            gzip.compress(gzip.compress(PLAIN.encode(), mtime=0), mtime=0),
            "compressed by gzip, not text; it was compressed twice: decompress it once",
        ),
        ("t.csv", b"PAR1\x15\x04\x15", "this is Parquet, not text; name it t.parquet"),
        ("t.csv", b"BZh91AY&SY", "this is compressed by bzip2, not text; export it as CSV in UTF-8"),
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
        (b"{\\rtf1\\ansi text}", "this is an RTF document, not text; save its text, or remove the file"),
        (b"%PDF-1.7\n\xe2\xe3", "this is a PDF document, not text; save its text, or remove the file"),
        ("text".encode("utf-32"), "this is UTF-32 (utf-32), not UTF-8; save it as UTF-8, or set"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a\.txt: ") as refused:
        read_text(tmp_path / "a.txt", "utf-8")
    assert message in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_wide_encoding_needs_its_mark_since_either_order_of_bytes_gives_a_text(tmp_path: Path, encoding: str):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 plain text.")
    (tmp_path / "t.csv").write_bytes(PLAIN.encode())
    message = rf"no byte order mark, with which {encoding} begins; set extraction\.\w+\.encoding \({encoding}-le or"
    with pytest.raises(CorpusError, match=rf"a\.txt: {message}"):
        read_text(tmp_path / "a.txt", encoding)
    with pytest.raises(CorpusError, match=rf"t\.csv: {message}"):
        list(table.documents(tmp_path / "t.csv", Columns("text", "label"), TextFormat(encoding)))
    (tmp_path / "a.txt").write_bytes("schön".encode(encoding))
    assert read_text(tmp_path / "a.txt", encoding) == "schön"
    (tmp_path / "a.txt").write_bytes(b"")
    assert read_text(tmp_path / "a.txt", encoding) == ""


def test_a_table_that_is_no_file_is_named(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "null.csv").symlink_to("/dev/null")
    for name in ("pipe.csv", "null.csv"):
        with pytest.raises(CorpusError, match=rf"{name}: a pipe or a device, not a file; set extraction\.table\.path"):
            table.digest(tmp_path / name)
    for name in ("n" * 300 + ".csv", "a\0b.csv"):
        with pytest.raises(CorpusError, match=r"not readable \(File name too long\); correct the path|no such file"):
            table.digest(tmp_path / name)
