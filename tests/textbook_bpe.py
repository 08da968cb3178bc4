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
    merges: list[Merge] = []
    while 258 + len(merges) < size:
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        words = [join(word, best, 258 + len(merges)) for word in words]
        merges.append(best)
    return merges


def encode(text: str, merges: Sequence[Merge]) -> list[int]:
    words = pieces(text)
    for rank, pair in enumerate(merges):
        words = [join(word, pair, 258 + rank) for word in words]
    return [id_ for word in words for id_ in word]
