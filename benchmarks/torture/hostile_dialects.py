"""More hostile corpora: what spreadsheets, databases and other programs write as CSV, JSON, Parquet and folders."""

from __future__ import annotations

import gzip
import json
import os
import socket
import zipfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.torture.hostile_folders import COUNT, TEXT, Case, added, also, label, named
from benchmarks.torture.hostile_tables import as_csv, rows

MORE = COUNT + 1


def dialect_cases() -> Iterator[Case]:
    """CSV and its relatives."""

    def case(name: str, content: bytes, documents: int | None, *words: str, file: str = "t.csv") -> Case:
        return Case(f"CSV: {name}", lambda path: path.write_bytes(content), documents, words or None, file)

    plain = as_csv(rows())
    header, body = plain.split(b"\r\n", 1)
    yield case("a quoted header", b'"label","text"\r\n' + body, COUNT)
    yield case("a mark and semicolons", b"\xef\xbb\xbf" + plain.replace(b",", b";"), None, "';'", "separator")
    yield case("bars", plain.replace(b",", b"|"), None, "'|'", "separator")
    yield case("a line sep=,", b"sep=,\r\n" + plain, None, "'sep=,'", "remove it")
    yield case("spaces before quotes", plain + f'label0, "{TEXT}, quoted"\r\n'.encode(), MORE, "row 13")
    yield case("quotes escaped by backslashes", plain + f'label0,"{TEXT} \\"so\\" {TEXT}"\r\n'.encode(), None, "row 13")
    yield case("doubled quotes", plain + f'label0,"{TEXT} ""so"" {TEXT}"\r\n'.encode(), MORE)
    yield case("an unclosed quote at the end", plain + b'label0,"never closed', None, "row 13", "quote")
    yield case("an empty last column", plain.replace(b"\r\n", b",\r\n"), COUNT)
    yield case("names in capitals", b"Label,Text\r\n" + body, None, "no column 'label'", "to 'Label'")
    yield case("names with spaces", b" label , text \r\n" + body, None, "no column 'label'", "to ' label '")
    yield case("blank lines", plain.replace(b"\r\n", b"\r\n\r\n"), COUNT)
    yield case("line breaks of two kinds", header + b"\n" + body, COUNT)
    yield case("UTF-16 without a mark", plain.decode().encode("utf-16-le"), None, "utf-16", "t.csv")
    yield case("UTF-32", plain.decode().encode("utf-32"), None, "utf-32")
    yield case(
        "quotes of Windows", plain + b"label0,\x93quoted\x94 " + TEXT.encode() + b"\r\n", None, "utf-8", "byte 969"
    )
    yield case("NUL in the header", plain.replace(b"label,", b"la\0bel,", 1), None, "t.csv")
    yield case("a workbook", workbook(), None, "workbook", "export it")
    yield case("gzip without its ending", gzip.compress(plain), None, "t.csv.gz")
    yield case("gzip in name alone", plain, None, "t.csv.gz", "gzip", file="t.csv.gz")
    yield case("gzip, cut", gzip.compress(plain)[:-12], None, "t.csv.gz", file="t.csv.gz")
    yield case("gzip in two members", gzip.compress(plain[:200]) + gzip.compress(plain[200:]), COUNT, file="t.csv.gz")
    yield case("tabs in .tsv", plain.replace(b",", b"\t"), COUNT, file="t.tsv")
    yield case("commas in .tsv", plain, None, "t.tsv", "separator", file="t.tsv")
    yield case("an unknown ending", plain, None, "t.xlsx", ".csv", file="t.xlsx")


def json_dialect_cases() -> Iterator[Case]:
    """JSON Lines and its relatives."""
    lines = [json.dumps({"label": name, "text": text}) for name, text in rows()]
    plain = "\n".join(lines) + "\n"

    def case(name: str, content: str | bytes, documents: int | None, *words: str, file: str = "t.jsonl") -> Case:
        raw = content.encode() if isinstance(content, str) else content
        return Case(f"JSON: {name}", lambda path: path.write_bytes(raw), documents, words or None, file)

    def with_line(name: str, line: str, documents: int | None, *words: str) -> Case:
        return case(name, f"{plain}{line}\n", documents, *words)

    yield case("an array on lines", "[\n" + ",\n".join(lines) + "\n]\n", None, "line 1", "array")
    yield case("an array on one line", f"[{','.join(lines)}]", None, "line 1", "one object per line")
    yield case("a byte-order mark", "\ufeff" + plain, COUNT, "t.jsonl")
    yield case("line breaks of Windows", plain.replace("\n", "\r\n"), COUNT)
    yield case("no last line break", plain.rstrip(), COUNT)
    yield case("UTF-16", plain.encode("utf-16"), None, "t.jsonl", "utf-16")
    yield case("gzip", gzip.compress(plain.encode()), COUNT, file="t.jsonl.gz")
    yield case("Latin-1", plain.encode() + '{"label": "label0", "text": "café"}\n'.encode("latin-1"), None, "utf-8")
    yield with_line("a line separator of Unicode", f'{{"label": "label0", "text": "one\u2028two {TEXT}"}}', MORE)
    yield with_line("a comma at the end", lines[0] + ",", None, "line 13")
    yield with_line("single quotes", "{'label': 'label0', 'text': 'one'}", None, "line 13")
    yield with_line("a label that is a number", f'{{"label": 7, "text": "{TEXT} seven"}}', MORE, "line 13")
    yield with_line("a label that is true", f'{{"label": true, "text": "{TEXT} true"}}', MORE, "line 13")
    yield with_line("several labels", f'{{"label": ["a", "b"], "text": "{TEXT} two"}}', None, "line 13", "label")
    yield with_line("a nested text", f'{{"label": "label0", "text": {{"en": "{TEXT}"}}}}', None, "line 13", "text")
    yield with_line("an empty label", f'{{"label": "", "text": "{TEXT} none"}}', None, "line 13", "label")
    yield with_line("a label of invisible characters", f'{{"label": "\\u200b", "text": "{TEXT} none"}}', None, "label")
    yield with_line(
        "other keys, deep", f'{{"label": "label0", "text": "{TEXT} deep", "x": {"[" * 500 + "]" * 500}}}', MORE
    )


def parquet_folder_cases() -> Iterator[Case]:
    """Folders of Parquet files."""
    plain = pa.table(dict(zip(("label", "text"), zip(*rows(), strict=True), strict=True)))

    def case(name: str, write: Callable[[Path], object], documents: int | None, *words: str) -> Case:
        return Case(f"Parquet: {name}", write, documents, words or None, "t")

    def folder(*files: tuple[str, pa.Table]) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            for name, table in files:
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table, path / name)
            (path / "_SUCCESS").touch()
            (path / ".part.crc").write_bytes(b"crc\0")

        return write

    only_text = plain.select(["text"])
    halves = plain.slice(0, 6), plain.slice(6)
    yield case(
        "Hive, a value with a space",
        folder(("label=a%20b/p.parquet", only_text.slice(0, 6)), ("label=c/p.parquet", only_text.slice(6))),
        COUNT,
    )
    yield case(
        "parts, and one without rows",
        folder(("a.parquet", halves[0]), ("b.parquet", halves[1]), ("c.parquet", plain.slice(0, 0))),
        COUNT,
    )
    yield case(
        "parts that lack a column",
        folder(("a.parquet", halves[0]), ("b.parquet", halves[1].drop_columns(["label"]))),
        None,
        "b.parquet",
        "label",
    )
    yield case("a folder without parts", lambda path: path.mkdir(), None, "no .parquet file")


def parquet_file_cases() -> Iterator[Case]:
    """Compressions and types of columns."""
    labels, texts = (pa.array(values) for values in zip(*rows(), strict=True))
    plain = pa.table({"label": labels, "text": texts})

    def one(name: str, table: pa.Table, documents: int | None, *words: str, **options: Any) -> Case:
        return Case(
            f"Parquet: {name}",
            lambda path: pq.write_table(table, path, **options),
            documents,
            words or None,
            "t.parquet",
        )

    yield one("zstd and pages", plain, COUNT, compression="zstd", data_page_version="2.0")
    yield one("brotli", plain, COUNT, compression="brotli")
    yield one(
        "whole numbers as labels", plain.set_column(0, "label", pa.array([n % 3 for n in range(COUNT)])), COUNT, "label"
    )
    yield one(
        "decimals as labels", plain.set_column(0, "label", pa.array([Decimal("1.5")] * COUNT)), None, "label", "decimal"
    )
    yield one(
        "truth values as labels",
        plain.set_column(0, "label", pa.array([n % 2 == 0 for n in range(COUNT)])),
        COUNT,
        "label",
    )
    yield one("bytes as texts", plain.set_column(1, "text", texts.cast(pa.binary())), COUNT, "text", "binary")
    yield one(
        "a dictionary with null",
        plain.set_column(0, "label", pa.array([None, *labels.to_pylist()[1:]]).dictionary_encode()),
        None,
        "row 1",
    )
    yield one("views of strings", plain.set_column(1, "text", texts.cast(pa.string_view())), COUNT, "text")


def folder_dialect_cases() -> Iterator[Case]:
    """Folders as people and file systems make them."""
    yield Case("an ending in capitals", named("LETTER.TXT"), MORE)
    yield Case("no ending", named("letter"), MORE)
    yield Case("an empty file", also(lambda root: (root / "label0/empty.txt").touch()), MORE)
    yield Case("a file of white space", added(b" \n\t\r\n "), MORE)
    yield Case("a file of invisible characters", added("\u200b\u2060\ufeff".encode() * 9), MORE)
    yield Case("a lock of an office program", named(".~lock.letter.odt#"), COUNT)
    yield Case("a hard link", also(lambda root: os.link(root / "label0/00000.txt", root / "label1/same.txt")), MORE)
    yield Case("a socket", also(make_socket), words=("s.sock", "text file"))
    yield Case("labels that differ by case", label("LABEL0"), COUNT + 4)
    yield Case("labels that differ by composition", two_labels("café", "cafe\u0301"), COUNT + 2)
    yield Case("a label of invisible characters", label("\u200b"), words=("label", "visible"))
    yield Case("a label of 255 bytes", label("é" * 127), COUNT + 4)
    yield Case("an empty label", also(lambda root: (root / "nothing").mkdir()), COUNT)
    yield Case("a hidden label", label(".git"), COUNT)
    yield Case("Chinese", script("人工智能改变世界经济格局的新趋势"), COUNT + 4)
    yield Case("Thai", script("รัฐบาลประกาศมาตรการใหม่เพื่อช่วยเหลือประชาชน"), COUNT + 4)
    yield Case("Khmer", script("រដ្ឋាភិបាលកម្ពុជាប្រកាសវិធានការថ្មី"), COUNT + 4)
    yield Case("Tibetan", script("བོད་ཀྱི་གནས་ཚུལ་གསར་པ་ཁག་ཅིག"), COUNT + 4)
    yield Case("half-width katakana", script("ﾆｭｰｽﾉﾐﾀﾞｼｶﾞﾅﾗﾝﾃﾞｲﾙ"), COUNT + 4)
    yield Case("emoji alone", script("🎉🎊🥳🎂🎈🎁✨🎇🎆🪅"), COUNT + 4)


def workbook() -> bytes:
    """A zip archive, as .xlsx is one."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "<worksheet/>" * 1000)
    return made.getvalue()


def make_socket(root: Path) -> None:
    where = Path.cwd()
    os.chdir(root / "label0")  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s.sock")
    finally:
        os.chdir(where)


def two_labels(*names: str) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        for number, name in enumerate(names):
            (root / name).mkdir()
            (root / name / "one.txt").write_text(f"{TEXT} label {number}")

    return also(write)


def script(text: str) -> Callable[[Path], object]:
    """Four short texts."""

    def write(root: Path) -> None:
        (root / "headlines").mkdir()
        for number in range(4):
            (root / f"headlines/{number}.txt").write_text(text[number:] + text[:number])

    return also(write)
