"""Pages for Prefect's UI, in Markdown; text from a corpus is escaped, whatever characters it has.

A function `pages(folder)` in `tasks/<stage>/show.py` adds pages to those that every stage has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from humanize import naturalsize

SHORT = 200
_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")  # ASCII punctuation: a backslash before it makes it plain text
_JOINERS = "\u200c\u200d"  # not printable, but parts of words and of emoji


@dataclass(frozen=True)
class Markdown:
    """A page; `key` is joined to the pipeline's name."""

    key: str
    description: str
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of plain values, which the UI can search; it escapes them itself."""

    key: str
    description: str
    rows: Sequence[Mapping[str, Any]]


Page = Markdown | Table


def plain(value: object, most: int = SHORT) -> str:
    """A value as short text on one line, without invisible characters."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c if c.isprintable() or c in _JOINERS else " " if c.isspace() else "·" for c in text)


def escape(value: object, most: int = SHORT) -> str:
    """The same, so that Markdown shows it as it is: no markup, no link, no cell border."""
    return _MARKUP.sub(r"\\\1", plain(value, most))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a `>` before a title sets its column to the right. Numbers get thousands separators."""
    titles = [title.removeprefix(">") for title in header]
    borders = ["--:" if title.startswith(">") else ":--" for title in header]
    lines = [titles, borders, *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(value)


def size(count: float) -> str:
    """Bytes as people read them."""
    return naturalsize(count, binary=True)
