"""Normalizes texts: Unicode, control characters, quotes and whitespace.

This changes how a text is written, never what it says: letters, digits, punctuation and their case stay.
Each step first checks whether it has anything to do, because most texts of most corpora need little.
"""

from __future__ import annotations

import re
import unicodedata

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u2028\u2029\ufeff]")
_CONTROL_TABLE: dict[int, str | None] = {
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0xAD, 0xFEFF]),  # the last two: soft hyphen, byte-order mark
    **dict.fromkeys([0x09, *range(0x1C, 0x20)], " "),  # tab, and the separators of files, records and fields
    **dict.fromkeys([0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028], "\n"),
    0x2029: "\n\n",
}
_QUOTES = {**dict.fromkeys("‘’‚‛‹›", "'"), **dict.fromkeys("“”„‟«»", '"')}
_OTHER_SPACE = re.compile(r"[^\S \n]")
_PIECE_CHARACTERS = 2**20
_BETWEEN_PARAGRAPHS = re.compile(r"\n\s*\n")


def normalize(
    text: str,
    *,
    normalize_unicode: bool = True,
    remove_controls: bool = True,
    straighten_quotes: bool = True,
    collapse_whitespace: bool = True,
) -> str:
    """The normalized text; normalizing it again changes nothing.

    The order matters: a control character between a letter and its accent keeps NFC from composing them.
    """
    if remove_controls and (text.isascii() or _CONTROL.search(text)):  # str.translate is fast on ASCII only
        text = text.replace("\r\n", "\n").translate(_CONTROL_TABLE)
    if normalize_unicode:
        text = unicodedata.normalize("NFC", text)
    if straighten_quotes and not text.isascii():
        for quote, straight in _QUOTES.items():
            text = text.replace(quote, straight)  # far faster than str.translate, which looks up every character
    if collapse_whitespace and not _is_tidy(text):
        paragraphs = (_single_spaced(paragraph) for paragraph in _BETWEEN_PARAGRAPHS.split(text))
        text = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    return text


def _single_spaced(paragraph: str) -> str:
    """The words with a space between them. Of a long paragraph few words are objects of their own at a time."""
    pieces = []
    start = 0
    while start < len(paragraph):
        end = paragraph.find(" ", start + _PIECE_CHARACTERS)
        end = len(paragraph) if end < 0 else end
        pieces.append(" ".join(paragraph[start:end].split()))
        start = end
    return " ".join(filter(None, pieces))


def _is_tidy(text: str) -> bool:
    """Whether single spaces and single blank lines are the only whitespace, checked without a copy."""
    return (
        text == text.strip()
        and "  " not in text
        and " \n" not in text
        and "\n " not in text
        and "\n\n\n" not in text
        and text.count("\n") == 2 * text.count("\n\n")
        and not _OTHER_SPACE.search(text)
    )
