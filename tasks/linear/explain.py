"""What in a text speaks for a label, by a linear member: exact, since a margin is a sum of weight · feature.

The log-odds of two labels are `scale` · (margin of the one - margin of the other): the softmax's normalization cancels,
and calibration is the factor `scale`. What a term adds is divided evenly among its occurrences, because a feature
depends on how often the term occurs; character n-grams are credited to the words in which they lie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from scipy.sparse import csr_array

from tasks.linear.ngrams import WORD, WORD_OR_SIGN, character_ngrams
from tasks.shared.member import Occurrence, lower_with_positions
from tasks.shared.statistics.metrics import Floats

_CHUNK = re.compile(r"\S+")
_EDGES = re.compile(r"^\W*(.*?)\W*$", re.DOTALL)


class Place(NamedTuple):
    """A word or a pair in a lower-cased text, and the terms that it is credited with."""

    start: int
    end: int
    shown: str
    terms: Sequence[str]


def locate_words(lowered: str) -> Iterator[Place]:
    """Every word, then every pair of neighbours; each is a term of its own."""
    found = [Place(match.start(), match.end(), match[0], (match[0],)) for match in WORD.finditer(lowered)]
    yield from found
    for left, right in pairwise(found):
        pair = f"{left.shown} {right.shown}"
        yield Place(left.start, right.end, pair, (pair,))


def locate_words_and_signs(lowered: str) -> Iterator[Place]:
    """Every word, number and sign; successive line breaks are one."""
    for match in WORD_OR_SIGN.finditer(lowered):
        shown = "\n" if match[0][0] == "\n" else match[0]
        yield Place(match.start(), match.end(), shown, (shown,))


def locate_characters(lowered: str) -> Iterator[Place]:
    """Every run of characters without a space, with its n-grams; shown without the signs at its ends."""
    for match in _CHUNK.finditer(lowered):
        inner = _EDGES.match(match[0])
        start, end = inner.span(1) if inner and inner[1] else (0, len(match[0]))
        yield Place(match.start() + start, match.start() + end, match[0][start:end], character_ngrams(match[0]))


LOCATORS: dict[str, Callable[[str], Iterator[Place]]] = {
    "words": locate_words,
    "characters": locate_characters,
    "counts": locate_words_and_signs,
}


def divide(text: str, kind: str, columns: Mapping[str, int], counts: csr_array, amounts: Floats) -> list[Occurrence]:
    """The occurrences of a text's terms, from its `counts` [1, terms] and what each stored one adds, [stored]."""
    lowered, positions = lower_with_positions(text)
    each = dict(zip(counts.indices.tolist(), (amounts / counts.data).tolist(), strict=True))
    found = []
    for place in LOCATORS[kind](lowered):
        known = [each[column] for term in place.terms if (column := columns.get(term, -1)) in each]
        if known:
            start, end = positions[place.start], positions[place.end - 1] + 1
            found.append(Occurrence(start, end, place.shown, sum(known)))
    return found
