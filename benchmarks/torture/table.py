"""The table of the trials: on standard output, as JSON, and in docs/reliability.md."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
BEGIN, END = "<!-- make torture writes this table -->", "<!-- end of the table -->"
HEAD = "| group | what | trials | right | date | note |\n| --- | --- | --- | --- | --- | --- |\n"


@dataclass
class Line:
    """A line of the table: a promise, how many trials it had, and what went wrong first."""

    group: str
    what: str
    trials: int
    right: int
    note: str = ""
    date: str = ""

    @property
    def markdown(self) -> str:
        note = re.sub(r"\s+", " ", self.note).replace("|", "/")
        cells = (self.group, self.what, str(self.trials), str(self.right), self.date, note)
        return f"| {' | '.join(cells)} |\n".replace("|  |", "| |").replace("|  |", "| |")


def as_json(lines: Sequence[Line]) -> str:
    """A list of what, trials, right and note."""
    kept = ("what", "trials", "right", "note")
    return json.dumps([{name: getattr(line, name) for name in kept} for line in lines], ensure_ascii=False)


def as_markdown(lines: Sequence[Line]) -> str:
    return HEAD + "".join(line.markdown for line in lines)


def write(lines: Sequence[Line], groups: Sequence[str], seconds: float, page: Path = PAGE) -> None:
    """Replaces the lines of these groups in the page, and says where and when they were measured."""
    before, _, rest = page.read_text().partition(BEGIN)
    former, _, after = rest.partition(END)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    own = {line.group for line in lines}
    kept = [line for line in _read(former) if line.group not in own]
    dated = [Line(line.group, line.what, line.trials, line.right, line.note, today) for line in lines]
    ordered = sorted(
        [*kept, *dated], key=lambda line: groups.index(line.group) if line.group in groups else len(groups)
    )
    took = f"{seconds / 60:.0f} minutes until the group {next(iter(own))} had ended"
    caption = f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {today}; {took}."
    page.write_text(f"{before}{BEGIN}\n\n{caption}\n\n{as_markdown(ordered)}\n{END}{after}")


def _read(text: str) -> list[Line]:
    found = []
    for row in text.splitlines():
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        if len(cells) == 6 and cells[2].isdecimal():
            found.append(Line(cells[0], cells[1], int(cells[2]), int(cells[3]), cells[5], cells[4]))
    return found


def processor() -> str:
    """The processor's name, as Linux tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    named = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()
