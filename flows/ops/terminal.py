"""What a terminal can show, and hints that fit the command that was called."""

from __future__ import annotations

import codecs
import io
import json
import sys
from pathlib import Path
from typing import Any

from tasks.shared.errors import with_config

PLAIN = {
    **{
        "…": "...",
        "–": "-",
        "−": "-",
        "→": "->",
        "×": "x",
        "·": "-",
        "✓": "+",
        "✗": "-",
        "⏎": "\\n",
        "≥": ">=",
        "█": "#",
    },
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
}
"""What stands for the signs of our own output in a terminal that lacks them."""
_config: list[str] = []


def remember_config(path: Path | None) -> None:
    """Notes the settings file that the command was given, if any; hints repeat it."""
    _config[:] = [] if path is None else [str(path)]


def suit_hints(text: str) -> str:
    """The text, with the `--config` that was given in every command that it advises."""
    return with_config(text, _config[0]) if _config else text


def prepare_streams() -> None:
    """Lets standard output and error print any text: a sign that their encoding lacks is written in another way."""
    codecs.register_error("corpusflow", _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="corpusflow")


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign, after = error.object[error.start], error.start + 1
    if "\udc80" <= sign <= "\udcff":  # a byte of a file's name that is not UTF-8
        return bytes([ord(sign) - 0xDC00]), after
    return PLAIN.get(sign) or sign.encode("ascii", "backslashreplace"), after


def as_json(value: Any) -> str:
    """`value` as JSON that standard output can take: with \\u escapes if its encoding lacks a sign."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=1)
    return text
