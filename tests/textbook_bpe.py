"""Byte-level BPE as in a textbook: slow, obviously correct, and independent of the code under test.

Ids: 2 … 257 are the bytes, then one per merge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import regex

from tasks.vocabulary.tokenizer_file import PATTERN

Merge = tuple[int, int]


def pieces(text: str) -> list[list[int]]:
    return [[2 + byte for byte in piece.encode()] for piece in regex.findall(PATTERN, text)]


def join(ids: list[int], pair: Merge, new: int) -> list[int]:
    joined: list[int] = []
    while ids:
        if tuple(ids[:2]) == pair:
            joined, ids = [*joined, new], ids[2:]
        else:
            joined, ids = [*joined, ids[0]], ids[1:]
    return joined


def learn(texts: Sequence[str], size: int) -> list[Merge]:
    words = [piece for text in texts for piece in pieces(text)]
    return learn_from_words(words, [1] * len(words), size - 258)[0]


def learn_from_words(words: Sequence[list[int]], times: Sequence[int], number: int) -> tuple[list[Merge], Counter[int]]:
    """Up to so many merges of words that occur so many times, and how often each token is left."""
    merges: list[Merge] = []
    while len(merges) < number:
        counts: Counter[Merge] = Counter()
        for word, often in zip(words, times, strict=True):
            for pair in pairwise(word):
                counts[pair] += often
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        words = [join(word, best, 258 + len(merges)) for word in words]
        merges.append(best)
    used: Counter[int] = Counter()
    for word, often in zip(words, times, strict=True):
        for token in word:
            used[token] += often
    return merges, used


def encode(text: str, merges: Sequence[Merge]) -> list[int]:
    words = pieces(text)
    for rank, pair in enumerate(merges):
        words = [join(word, pair, 258 + rank) for word in words]
    return [id_ for word in words for id_ in word]
