"""CSV: quotes, separators, row numbers. Nothing is lost or altered without a word."""

from __future__ import annotations

import csv
import io
import logging
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.extraction import csv_quotes, csv_rows, table
from tasks.extraction.csv_quotes import QuoteChecker, QuoteError
from tasks.extraction.rows import Columns, TextFormat
from tasks.shared.errors import CorpusError

COLUMNS = Columns("text", "label")
LINES = [f"{('food', 'law', 'sport')[number % 3]},text number {number} of them" for number in range(60)]


def table_of(folder: Path, lines: list[str], name: str = "t.csv", header: str = "label,text") -> Path:
    file = folder / name
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8", newline="")
    return file


def texts(file: Path, separator: str | None = None) -> list[str]:
    return [document.text for document in table.rows(file, COLUMNS, TextFormat(separator=separator))]


def message(file: Path, columns: Columns = COLUMNS, separator: str | None = None) -> str:
    with pytest.raises(CorpusError) as caught:
        list(table.rows(file, columns, TextFormat(separator=separator)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def with_line(number: int, line: str) -> list[str]:
    """The lines with another one as row `number`, counted from 1."""
    return [*LINES[: number - 1], line, *LINES[number:]]


def test_an_unclosed_quote_names_the_row_where_it_opens(tmp_path: Path) -> None:
    found = message(table_of(tmp_path, with_line(11, 'food,"The onion was never closed')))
    assert 't.csv: row 11: a quote opens and never closes: "The onion was never closed sport,text' in found
    assert found.endswith('write a quote inside a text as "", and the whole text in quotes')


def test_blank_lines_and_line_breaks_in_quotes_do_not_shift_the_row(tmp_path: Path) -> None:
    lines = ["", 'food,"two\nlines, and a ""quotation"""', "", "", 'law,"never closed']
    assert "row 2: a quote opens" in message(table_of(tmp_path, lines))
    assert "row 2: 3 fields, but the header has 2" in message(table_of(tmp_path, [*lines[:4], "law,a,b"]))
    assert "row 2: 1 field, but" in message(table_of(tmp_path, [*lines[:4], "law"]))


@pytest.mark.parametrize("rest", [" said the oven was hot", "said", ' said "no"', "."])
def test_text_after_a_closing_quote_is_refused(tmp_path: Path, rest: str) -> None:
    found = message(table_of(tmp_path, with_line(11, f'food,"The Onion"{rest}')))
    assert f'row 11: text follows the closing quote: "The Onion"{rest}' in found


def test_an_unclosed_quote_that_a_later_quotation_closes_names_the_first(tmp_path: Path) -> None:
    lines = with_line(11, 'food,"The onion was never closed')
    lines[29] = 'law,"a text in quotes"'
    assert 'row 11: text follows the closing quote: "The onion was never' in message(table_of(tmp_path, lines))


@pytest.mark.parametrize(
    "text", ['a 5" pipe', 'he said "no"', ' "quoted" after a space', "it's", "", '"a ""b"" c"', '"two\r\nlines"']
)
def test_quotes_that_follow_the_rules_are_kept_as_written(tmp_path: Path, text: str) -> None:
    expected = text[1:-1].replace('""', '"') if text.startswith('"') else text
    assert texts(table_of(tmp_path, with_line(11, f"food,{text}")))[10] == expected


def test_a_field_that_holds_rows_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = with_line(11, 'food,"The onion was never closed')
    lines[20] = 'law,the quote at the end closes it"'
    with caplog.at_level(logging.WARNING):
        assert len(texts(table_of(tmp_path, lines))) == 50
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 't.csv'}: row 11: a field has 4 line(s) that look like rows of this table; is a quote missing?"
    ]


def test_texts_with_line_breaks_and_commas_are_not_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    poems = [f'food,"An onion, {number}\nis an onion, or\nit is a leek, {number}"' for number in range(10)]
    with caplog.at_level(logging.WARNING):
        assert len(texts(table_of(tmp_path, poems))) == 10
    assert not caplog.records


def test_swallowed_rows_are_warned_of_without_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [f"{number},text {number}" for number in range(30)]
    for number in (3, 9, 15, 21):
        lines[number], lines[number + 3] = f'{number},"open', f'{number},closed"'
    with caplog.at_level(logging.WARNING):
        list(table.rows(table_of(tmp_path, lines, header="id,text"), Columns("text", None, "id")))
    said = [record.getMessage().split(": ", 1)[1] for record in caplog.records]
    assert [line.partition(":")[0] for line in said] == ["row 4", "row 7", "row 10", "so do 1 more rows"]


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_another_separator_is_recognised_and_can_be_set(tmp_path: Path, separator: str, name: str) -> None:
    file = table_of(tmp_path, [line.replace(",", separator) for line in LINES], header=f"label{separator}text")
    shown = "tab" if separator == "\t" else repr(separator)
    assert f"separated by {name}, not commas; set extraction.table.separator to {shown}" in message(file)
    assert len(texts(file, separator)) == 60
    options = Columns("text", "label", setting="--{}")
    assert f"set --separator to {shown}" in message(file, options)
    other = table_of(tmp_path, [], header=f"klass{separator}body")
    assert f"separated by {name}" in message(other)


def test_a_tsv_is_separated_by_tabs(tmp_path: Path) -> None:
    lines = [line.replace(",", "\t") + ", with a comma" for line in LINES]
    assert texts(table_of(tmp_path, lines, "t.tsv", "label\ttext"))[0] == "text number 0 of them, with a comma"
    assert "separated by commas, not tabs" in message(table_of(tmp_path, LINES, "t.tsv"))


@pytest.mark.parametrize("header", ['"label,text', '"label"x,text'])
def test_a_broken_header_is_refused(tmp_path: Path, header: str) -> None:
    assert "t.csv: the header's quotes do not close" in message(table_of(tmp_path, LINES[:3], header=header))


def test_a_header_may_have_line_breaks_in_quotes(tmp_path: Path) -> None:
    assert texts(table_of(tmp_path, ["x,food,one"], header='"a\nnote",label,text')) == ["one"]


def test_a_quoted_field_of_bounded_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_quotes, "MAX_FIELD_BYTES", 2**20)
    monkeypatch.setattr(csv_rows, "MAX_FIELD_BYTES", 2**20)
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 2**18)
    file = table_of(tmp_path, [LINES[0], 'food,"never closed', *LINES * 1000])
    assert "row 2: a quote" in message(file)


FIELD = st.text(alphabet='a"",;\n\r \té', max_size=6)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=5), separator=st.sampled_from(",;\t"))
def test_what_the_standard_library_writes_is_read_as_it_was(
    tmp_path: Path, rows: list[tuple[str, str]], separator: str
) -> None:
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerows([("label", "text"), *rows])
    found = list(table.rows(tmp_path / "t.csv", COLUMNS, TextFormat(separator=separator)))
    assert [(document.label, document.text) for document in found] == rows


@settings(max_examples=500)
@given(st.text(alphabet='ab"",\n', max_size=40), st.integers(1, 9))
def test_the_checker_finds_what_the_strict_parser_finds(content: str, block: int) -> None:
    def strict() -> bool:
        try:
            list(csv.reader(io.StringIO(content, newline=""), strict=True))
        except csv.Error:
            return False
        return True

    checker = QuoteChecker(io.BytesIO(content.encode()), ",", 2, 0)
    blocks = []
    try:
        while given_block := checker.read(block):
            blocks.append(given_block)
        checked = True
    except QuoteError:
        checked = False
    assert checked == strict()
    assert not checked or b"".join(blocks) == content.encode()
    assert all(len(each) == block or each.endswith(b"\n") for each in blocks[:-1])


@settings(max_examples=100)
@given(st.lists(st.lists(st.sampled_from(["a", "b\nc", '"', "d,e", ""]), min_size=2, max_size=2)), st.integers(1, 9))
def test_blocks_end_where_rows_end(rows: list[list[str]], piece: int) -> None:
    content = io.StringIO(newline="")
    csv.writer(content).writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_quotes, "PIECE_BYTES", piece)
        checker = QuoteChecker(io.BytesIO(content.getvalue().encode()), ",", 2, 0)
        blocks = list(iter(partial(checker.read, 1000), b""))
    found = [list(csv.reader(io.StringIO(block.decode(), newline=""), strict=True)) for block in blocks]
    assert [row for block in found for row in block] == rows
