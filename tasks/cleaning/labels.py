"""Cleans labels, so that two that look the same are one, and finds labels that differ by case alone."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tasks.cleaning.normalize import normalize

SHOWN = 10
_JOINERS = "\u200c\u200d"
_IDLE_JOINERS = re.compile(rf"(?<![^\x00-\x7f\s])[{_JOINERS}]+|[{_JOINERS}]+(?![^\x00-\x7f\s])")
"""Zero-width (non-)joiners that join nothing: between other than ASCII letters they are spelling, as in Persian."""


def clean_label(label: str) -> str:
    """NFC, without control and invisible characters, single spaces, none at the ends; cleaning again changes nothing.

    Invisible are the characters of Unicode's category Cf (zero-width space, byte-order mark, soft hyphen, marks of
    direction), except joiners between letters of scripts that need them. Quotes and case stay.
    """
    visible = "".join(c for c in normalize(label, straighten_quotes=False) if _is_visible(c))
    tidy = " ".join(_IDLE_JOINERS.sub("", visible).split())
    return unicodedata.normalize("NFC", tidy)


def _is_visible(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) != "Cf"


class LabelCleaner:
    """Cleans the labels of documents, and remembers how many there were of each."""

    def __init__(self) -> None:
        self._cleaned: dict[str, str] = {}
        self.documents: Counter[str] = Counter()

    def clean(self, label: str, documents: int = 1) -> str:
        """The cleaned label of so many documents; empty if nothing of it is visible."""
        self.documents[label] += documents
        if label not in self._cleaned:
            self._cleaned[label] = clean_label(label)
        return self._cleaned[label]

    def changed(self) -> dict[str, int]:
        """The labels that are written otherwise once cleaned, as `'before' → 'after'`, with their documents."""
        return {
            f"{label!a} → {cleaned!r}": self.documents[label]
            for label, cleaned in sorted(self._cleaned.items())
            if label != cleaned
        }

    def alike(self) -> list[str]:
        """The cleaned labels that differ by case alone, each group of them with its documents in one phrase."""
        documents: Counter[str] = Counter()
        for label, cleaned in self._cleaned.items():
            documents[cleaned] += self.documents[label]
        return [
            " and ".join(f"{label!r} ({documents[label]:,} documents)" for label in labels)
            for labels in differ_by_case(documents)
        ]

    def warnings(self) -> Iterator[str]:
        """A sentence about the labels that were changed, and one about those that differ by case alone."""
        changed, alike = list(self.changed()), self.alike()
        if changed:
            yield f"{len(changed):,} label{' was' if len(changed) == 1 else 's were'} cleaned: {_some(changed)}"
        if alike:
            yield f"labels differ by case alone and stay different labels: {_some(alike)}"

    def summary(self) -> dict[str, Any]:
        """What `changed` and `alike` found; nothing if nothing."""
        found: dict[str, Any] = {}
        if changed := self.changed():
            found["cleaned_labels"] = dict(list(changed.items())[:SHOWN])
        if alike := self.alike():
            found["labels_alike_but_for_case"] = "; ".join(alike[:SHOWN])
        return found


def differ_by_case(labels: Iterable[str]) -> list[list[str]]:
    """The labels that are equal but for case, as sorted lists of two or more."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        alike[label.casefold()].append(label)
    return [names for names in alike.values() if len(names) > 1]


def _some(phrases: Sequence[str]) -> str:
    more = f"; and {len(phrases) - SHOWN:,} more" if len(phrases) > SHOWN else ""
    return f"{'; '.join(phrases[:SHOWN])}{more}"
