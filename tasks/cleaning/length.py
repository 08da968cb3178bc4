"""What counts as text, and how long a text is."""

from __future__ import annotations

import re
import unicodedata

INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Fillers, empty vowels and the empty Braille pattern: letters and signs for Unicode, and nothing on the page."""
WEIGHT = 3
_VARIATION_SELECTORS = ("\ufe00", "\ufe0f")
_DENSE = re.compile(
    "[\u0e00-\u109f"  # Thai, Lao, Tibetan, Burmese
    "\u1100-\u11ff\u1780-\u17ff"  # Korean letters, Khmer
    "\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff"  # Chinese, kana, Korean syllables
    "\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]"
)
"""Characters of scripts that have no spaces between words, or a syllable in a character."""


def has_text(text: str) -> bool:
    """Whether a text has a character that shows: not white space, control, zero-width or another invisible one."""
    return any(map(_is_visible, text))


def _is_visible(character: str) -> bool:
    if unicodedata.category(character) in INVISIBLE_CATEGORIES or character in INVISIBLE_LETTERS:
        return False
    return not _VARIATION_SELECTORS[0] <= character <= _VARIATION_SELECTORS[1]


def text_length(text: str) -> int:
    """Length in characters, of which one of Chinese, Japanese, Korean, Thai and the like counts as three.

    A headline in these scripts has about a third of the characters of an English one, and as many bytes in UTF-8.
    """
    return len(text) if text.isascii() else WEIGHT * len(text) - (WEIGHT - 1) * len(_DENSE.sub("", text))
