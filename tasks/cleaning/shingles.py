"""A text as the set of its shingles (k words in a row), and how much two such sets share.

Words are consecutive letters and digits, in lower case, so that a changed comma or capital makes no difference.
Shingles are 64-bit hashes, computed for a whole text at once: a word's hash is a polynomial of its bytes, taken
from prefix sums (Karp and Rabin, Efficient randomized pattern-matching algorithms, 1987) with numpy's arithmetic
modulo 2^64, so it is the same in every process. Text without spaces between words (Chinese, Thai) makes long words,
for which the comparison is stricter. A word of more than a mebibyte counts as several, cut from its beginning on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_PIECE_BYTES = 2**20  # bounds the memory for one very long text
_BASE = 0x9E3779B97F4A7C15
_MIX, _SHIFT = np.uint64(0xD6E8FEB86659FD93), np.uint64(32)
# Bytes of letters and digits; in UTF-8 all characters beyond ASCII have bytes from 128 on.
_IN_WORD = np.array([byte >= 128 or chr(byte).isalnum() for byte in range(256)])


def shingles(text: str, words: int) -> Hashes:
    """The distinct shingles of `words` words, sorted: uint64, at most one per word of the text.

    A text with fewer words is a single shingle; a text without words has none.
    """
    hashes = _word_hashes(text.lower().encode())
    if not len(hashes):
        return hashes
    words = min(words, len(hashes))
    end = len(hashes) - words + 1
    mixed = combine([hashes[place : place + end] for place in range(words)])
    mixed.sort()
    return mixed[np.concatenate(([True], mixed[1:] != mixed[:-1]))]


def combine(hashes: Sequence[Hashes]) -> Hashes:
    """One hash for the numbers at each place of some arrays, in the order of these."""
    mixed = hashes[0].copy()
    for other in hashes[1:]:
        mixed *= _MIX
        mixed ^= other
    mixed *= _MIX
    mixed ^= mixed >> _SHIFT
    return mixed


def jaccard(a: Hashes, b: Hashes) -> float:
    """Size of the intersection over size of the union of two sorted sets; 0 if both are empty."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    union = len(a) + len(b) - shared
    return shared / union if union else 0.0


def _word_hashes(text: bytes) -> Hashes:
    pieces = []
    start = 0
    while start < len(text):
        end = min(start + _PIECE_BYTES, len(text))
        if end < len(text) and _IN_WORD[text[end]]:  # the next piece begins with that word
            inside = _IN_WORD[np.frombuffer(text, np.uint8, end - start, start)]
            if not inside.all():
                end -= int(inside[::-1].argmin())
        pieces.append(_hash_piece(np.frombuffer(text, np.uint8, end - start, start)))
        start = end
    return np.concatenate(pieces) if pieces else np.empty(0, np.uint64)


def _hash_piece(text: npt.NDArray[np.uint8]) -> Hashes:
    """The sum of byte x base^i over each word, divided by the power of the base at which the word begins."""
    power, inverse = _powers(len(text).bit_length())
    in_word = np.zeros(len(text) + 2, np.bool_)
    in_word[1:-1] = _IN_WORD[text]
    edges = np.flatnonzero(in_word[1:] != in_word[:-1])
    starts, ends = edges[::2], edges[1::2]
    sums = np.zeros(len(text) + 1, np.uint64)
    np.cumsum(text * power[: len(text)], out=sums[1:])
    hashes: Hashes = (sums[ends] - sums[starts]) * inverse[starts]
    hashes ^= hashes >> _SHIFT
    return hashes


@cache
def _powers(bits: int) -> tuple[Hashes, Hashes]:
    """2^bits powers of the base and of its inverse, modulo 2^64."""
    powers = []
    for base in (_BASE, pow(_BASE, -1, 2**64)):
        factors = np.full(2**bits, base, np.uint64)
        factors[0] = 1
        powers.append(np.multiply.accumulate(factors))
    return powers[0], powers[1]
