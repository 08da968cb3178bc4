"""What counts as text and how long it is, in any script; messages name the setting that drops a text."""

from __future__ import annotations

import pytest

from tasks.cleaning.length import has_text, text_length
from tasks.cleaning.parts import _too_short
from tasks.cleaning.schema import SETTINGS, dropped_by
from tasks.cleaning.settings import CleaningSettings

HEADLINES = [
    "北京大学公布新学期课程安排",
    "日銀、政策金利を据え置き",
    "정부, 새 예산안 발표",
    "รัฐบาลประกาศงบประมาณใหม่",
    "ລັດຖະບານປະກາດງົບປະມານ",
    "រដ្ឋាភិបាលប្រកាស",
    "အစိုးရသစ်",
    "Government announces budget",
]


@pytest.mark.parametrize("headline", HEADLINES)
def test_a_headline_passes_with_default_settings(headline: str) -> None:
    assert text_length(headline) >= len(headline)
    assert _too_short(headline, CleaningSettings().min_characters) == (None, None)


def test_a_dense_character_counts_as_three() -> None:
    assert [text_length(text) for text in ("", "ab", "éß", "北京", "北京 ab", "가", "𠀀", "ﾊﾟ", "Ω")] == [
        *(0, 2, 2, 6, 9, 3, 3, 6, 1)
    ]
    assert _too_short("北京大学", 20) == ("too_short", "12 characters once cleaned, cleaning.min_characters is 20")


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\u200b\u2060\ufeff" * 30, "\u3164\u115f\u2800", "\u00ad\ufe0f"])
def test_invisible_characters_are_no_text(text: str) -> None:
    assert not has_text(text)
    assert _too_short(text, 1)[0] == "empty"


@pytest.mark.parametrize("text", ["a", "\u200b.", "é", "\u0301", "🙂\ufe0f", "\ue000", "\U0001fae8"])
def test_what_shows_is_text(text: str) -> None:
    assert has_text(text)


def test_a_message_about_dropped_texts_names_the_settings() -> None:
    assert dropped_by({}) == "none"
    assert dropped_by({"empty": 2, "too_short": 1234, "near_duplicate": 2}) == (
        "1,234 too short (cleaning.min_characters), 2 empty, 2 near duplicate (cleaning.duplicates.near)"
    )
    for setting in SETTINGS.values():
        section: object = CleaningSettings()
        for name in setting.split(".")[1:]:
            if name != "conflicting_labels":
                section = getattr(section, name)
