"""Hostile corpora as tables: CSV, JSON Lines and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.torture.hostile_folders import COUNT, TEXT, Case

Rows = list[tuple[Any, Any]]
DEEP = 100_000


def rows(count: int = COUNT) -> Rows:
    return [(f"label{number % 3}", f"{TEXT} apple{number % 3} number {number}.") for number in range(count)]


def csv_cases() -> Iterator[Case]:
    def case(name: str, content: bytes, documents: int | None, *words: str, file: str = "t.csv") -> Case:
        return Case(f"CSV: {name}", lambda path: path.write_bytes(content), documents, words or None, file)

    plain, more = as_csv(rows()), COUNT + 1
    yield case("plain", plain, COUNT)
    yield case("a byte-order mark", b"\xef\xbb\xbf" + plain, COUNT)
    yield case("line breaks of old Macs", plain.replace(b"\r\n", b"\r"), COUNT, "t.csv")
    yield case("semicolons", plain.replace(b",", b";"), None, "t.csv")
    yield case("tabs", plain.replace(b",", b"\t"), None, "t.csv")
    yield case("an unclosed quote", plain + b'label0,"never closed\r\n' + as_csv(rows())[12:], None, "row")
    yield case("text after a closing quote", plain + b'label0,"The Onion" said the oven was hot\r\n', more, "row")
    yield case("a row too long", plain + b"label0,text,more\r\n", None, "row")
    yield case("a row too short", plain + b"label0\r\n", None, "row")
    yield case("a column twice", b"label,text,text\r\na,b,c\r\n", None, "more than one column")
    yield case("no such column", b"label,body\r\na,b\r\n", None, "no column 'text'")
    yield case("nothing", b"", None, "t.csv")
    yield case("a header alone", b"label,text\r\n", None, "document")
    yield case("line breaks in a text", as_csv([*rows(), ("label0", f"one\ntwo {TEXT}")]), more)
    yield case("formulas", as_csv([*rows(), ("=1+1", "=cmd|'/c calc'!A1 and some more words")]), more)
    yield case("NUL in a text", plain + b"label0,a text with \0 in it and more\r\n", more, "nul")
    yield case("Latin-1", plain + b"label0,caf\xe9 and more words here\r\n", None, "utf-8")
    yield case("UTF-16", plain.decode().encode("utf-16"), None, "t.csv")
    yield case("10,000 labels", as_csv([(f"l{n}", f"{TEXT} {n}") for n in range(10_000)]), 10_000)
    yield case("200 MB on one line", b"label,text\r\na," + b"word " * 40_000_000, None, "t.csv")
    yield case("a bomb", gzip.compress(b"label,text\na," + b"0" * 10**8), None, "t.csv.gz", file="t.csv.gz")


def json_cases() -> Iterator[Case]:
    plain = [json.dumps({"label": name, "text": text}) for name, text in rows()]

    def case(name: str, line: str, documents: int | None, *words: str) -> Case:
        content = "\n".join([*plain, line]) + "\n"
        return Case(f"JSON: {name}", lambda path: path.write_text(content), documents, words or None, "t.jsonl")

    line = f"line {COUNT + 1}"
    yield case("NaN", '{"label": "label0", "text": NaN}', None, line)
    yield case("a key twice", f'{{"label": "a", "label": "label0", "text": "{TEXT}"}}', COUNT + 1, line)
    yield case("a list", '["label0", "text"]', None, line)
    yield case("half a surrogate pair", '{"label": "label0", "text": "a \\ud800 b"}', None, line, "surrogate")
    yield case("deep brackets", "[" * DEEP, None, line)
    yield case("a key that is missing", '{"label": "label0"}', None, line)
    yield case("blank lines", "\n\n   \n", COUNT)
    yield case("half an object", '{"label": "lab', None, line)
    yield case("a number of 5,000 digits", f'{{"label": {"9" * 5000}, "text": "{TEXT}"}}', None, line)
    yield case("null", '{"label": "label0", "text": null}', None, line)
    yield case("NUL", '{"label": "label0", "text": "a text with \\u0000 in it, and more words"}', COUNT + 1, "nul")


def parquet_cases() -> Iterator[Case]:
    def case(name: str, columns: dict[str, pa.Array], documents: int | None, *words: str) -> Case:
        write: Callable[[Path], object] = lambda path: pq.write_table(pa.table(columns), path)  # noqa: E731
        return Case(f"Parquet: {name}", write, documents, words or None, "t.parquet")

    labels, texts = (pa.array(values) for values in zip(*rows(), strict=True))
    plain = {"label": labels, "text": texts}
    yield case("plain", plain, COUNT)
    yield case("a nested label", plain | {"label": pa.array([{"a": "b"}] * COUNT)}, None, "label", "struct")
    yield case("a list of texts", plain | {"text": pa.array([["a", "b"]] * COUNT)}, None, "text", "list")
    yield case("no value", plain | {"text": pa.array([None, *texts.to_pylist()[1:]])}, None, "row 1")
    yield case("a dictionary", plain | {"label": labels.dictionary_encode()}, COUNT)
    yield case("large strings", plain | {"text": texts.cast(pa.large_string())}, COUNT)
    yield case("a thousand columns", plain | {f"c{n}": labels for n in range(1000)}, COUNT)
    yield case("labels of decimals", plain | {"label": pa.array([0.5] * COUNT)}, None, "label", "double")
    yield case("no rows", {name: values.slice(0, 0) for name, values in plain.items()}, None, "document")
    bomb = pa.array([*texts.to_pylist()[1:], "a" * 10**8])
    yield case("a text of 100 MB in a few KB", plain | {"text": bomb}, None, "characters")
    whole = io.BytesIO()
    pq.write_table(pa.table(plain), whole)
    content = whole.getvalue()
    for name, cut in (("cut", content[:-9]), ("noise", bytes(range(256)) * 9), ("empty", b"")):
        yield Case(f"Parquet: {name}", writes(cut), None, ("t.parquet",), "t.parquet")


def writes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def as_csv(given: Sequence[tuple[Any, Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([("label", "text"), *given])
    return written.getvalue().encode()
