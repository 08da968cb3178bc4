"""The JSON output of the trials of faults, and that a trial that is not right counts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.torture.__main__ import GROUPS
from benchmarks.torture.launcher import Done
from benchmarks.torture.state import one_line
from benchmarks.torture.table import BEGIN, END, Line, write


@pytest.mark.slow
def test_the_table_as_json() -> None:
    command = [sys.executable, "-m", "benchmarks.torture", "--only", "settings", "--share", "0.01", "--json"]
    done = subprocess.run(
        [*command, "--trial", "refused in one line"],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
    )
    (line,) = json.loads(done.stdout)
    assert list(line) == ["what", "trials", "right", "note"]
    assert line["trials"] == line["right"] >= 20


@pytest.mark.parametrize(
    ("code", "err", "wrong"),
    [
        (1, "corpusflow: data: cannot be written", None),
        (1, "corpusflow: data: missing", "lacks written: corpusflow: data: missing"),
        (124, "", "hangs"),
        (1, "Traceback (most recent call last):\nOSError", "traceback: OSError"),
        (0, "", "code 0: "),
    ],
)
def test_a_failure_must_be_one_line_of_ours(code: int, err: str, wrong: str | None) -> None:
    assert one_line(Done(code, "", err, 0.0), "written") == wrong


def test_the_table_in_the_docs_keeps_the_lines_of_other_groups(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(f"# Before\n{BEGIN}\n{END}\nAfter\n")
    write([Line("crashes", "killed", 2, 2), Line("damage", "a file", 3, 1, "it | was\nlost")], GROUPS, 60, page)
    write([Line("crashes", "killed", 4, 4)], GROUPS, 60, page)
    text = page.read_text()
    assert text.startswith(f"# Before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nAfter\n")
    first, second = (row for row in text.splitlines() if row.startswith(("| crashes", "| damage")))
    assert re.fullmatch(r"\| crashes \| killed \| 4 \| 4 \| \d{4}-\d\d-\d\d \| \|", first)
    assert second.endswith("| it / was lost |")
