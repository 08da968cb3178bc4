"""What a terminal can show, and hints that fit the command that was called."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
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
STANDARD_FILES = (0, 1, 2)
_config: list[str] = []


def remember_config(path: Path | None) -> None:
    """Notes the settings file that the command was given, if any; hints repeat it."""
    _config[:] = [] if path is None else [str(path)]


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def on_one_line(text: str) -> str:
    """The text with control characters escaped: the name of a file can have line breaks and a terminal's commands."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def suit_hints(text: str) -> str:
    """The text, with the `--config` that was given in every command that it advises."""
    return with_config(text, _config[0]) if _config else text


def prepare_streams() -> None:
    """Lets standard output and error print any text: a sign that their encoding lacks is written in another way."""
    codecs.register_error("corpusflow", _replace)
    for number in STANDARD_FILES:
        try:
            os.fstat(number)
        except OSError:  # closed: a file of the run would get this number, and with it what libraries print
            os.open(os.devnull, os.O_RDWR)
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        buffer = io.BufferedWriter(_Output(out.fileno(), "w", closefd=False))
        sys.stdout = io.TextIOWrapper(buffer, out.encoding, "corpusflow", None, out.line_buffering, out.write_through)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="corpusflow")


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
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=1)
    return text


class _Output(io.FileIO):
    """Standard output, which remembers why it could not be written."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


def output_error() -> OSError | None:
    """Why standard output could not be written: its reader has ended, or the disk of its file is full; None if it can.

    Writes what it still holds.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):  # ValueError: closed; an OSError is noted by the stream itself
        pass
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, _Output) else None


def abandon_output() -> None:
    """Drops what standard output holds; else the interpreter would fail to write it once more when it ends."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
