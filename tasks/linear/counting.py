"""Counts of many texts, block by block, so that memory is that of the result.

Of the terms of texts that a member learns from, most occur in one text and are dropped, and only afterwards it is known
which: so what a block of texts has is kept in numbers, and the terms that stay get their columns at the end. The terms,
their order and their counts are those of ngrams.py, which counts terms that are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.linear import ngrams
from tasks.linear.schema import Kind
from tasks.shared.batched import batched
from tasks.shared.statistics.metrics import Ints

BLOCK = 1024
"""Texts of a block."""
_LOW = np.int64(2**32 - 1)


class Counted(Protocol):
    """Texts with their terms, all of them, numbered as they first occur."""

    frequencies: Ints
    """Texts with each term, [terms]."""
    texts: int

    def blocks(self, kept: Ints) -> Iterator[csr_array]:
        """Counts [texts of a block, kept] of the terms with these numbers, in ascending order."""
        ...

    def names(self, kept: Ints) -> list[str]:
        """These terms."""
        ...


def count_all(kind: Kind, texts: Iterable[str]) -> Counted:
    """Reads the texts once, and holds none of them."""
    if kind == "words":
        return _count_words_and_pairs(texts)
    if kind == "characters":
        in_texts, words = ngrams.count(text.lower().split() for text in texts)
        in_words, found = ngrams.count(ngrams.character_ngrams(word) for word in words)
        return _Characters(in_texts, in_words, found)
    return _Plain(*ngrams.count(ngrams.words_and_signs(text) for text in texts))


def count_known(kind: Kind, texts: Sequence[str], columns: dict[str, int]) -> Iterator[csr_array]:
    """Counts [texts of a block, terms] of the terms that have a column, block by block."""
    if kind == "characters":
        in_texts, words = ngrams.count(text.lower().split() for text in texts)
        in_words, _ = ngrams.count((ngrams.character_ngrams(word) for word in words), columns)
        return (csr_array(rows @ in_words) for rows in _rows(in_texts))
    count = ngrams.count_words if kind == "words" else ngrams.count_words_and_signs
    return (count(block, columns)[0] for block in batched(texts, BLOCK))


def select(frequencies: Ints, min_df: int, max_terms: int) -> Ints:
    """The numbers of the terms in `min_df` texts or more; of more than `max_terms` the most frequent ones."""
    kept = np.flatnonzero(frequencies >= min_df)
    return np.sort(kept[np.argsort(-frequencies[kept], kind="stable")[:max_terms]])


class _Plain:
    def __init__(self, counts: csr_array, terms: Sequence[str]) -> None:
        self._counts, self._terms, self.texts = counts, terms, counts.shape[0]
        self.frequencies = ngrams.document_frequencies(counts)

    def blocks(self, kept: Ints) -> Iterator[csr_array]:
        column = _columns(kept, len(self._terms))
        return (ngrams.renumber(rows, column, len(kept)) for rows in _rows(self._counts))

    def names(self, kept: Ints) -> list[str]:
        return [self._terms[number] for number in kept.tolist()]


class _Characters:
    """The n-grams of a text are those of its words: two matrices, whose product is never whole in memory."""

    def __init__(self, in_texts: csr_array, in_words: csr_array, found: Sequence[str]) -> None:
        self._in_texts, self._in_words, self._found, self.texts = in_texts, in_words, found, in_texts.shape[0]
        self.frequencies = np.zeros(len(found), np.int64)
        for rows in _rows(in_texts):
            self.frequencies += ngrams.document_frequencies(csr_array(rows @ in_words))

    def blocks(self, kept: Ints) -> Iterator[csr_array]:
        chosen = ngrams.renumber(self._in_words, _columns(kept, len(self._found)), len(kept))
        return (csr_array(rows @ chosen) for rows in _rows(self._in_texts))

    def names(self, kept: Ints) -> list[str]:
        return [self._found[number] for number in kept.tolist()]


@dataclass(frozen=True)
class _Block:
    counts: csr_array
    """[texts, distinct codes of the block]"""
    first: int
    """The place of its first code among those of all blocks."""


class _WordsAndPairs:
    """A word has the code of its number, a pair of neighbours that of the two numbers: no pair is spelled out."""

    def __init__(self, blocks: Sequence[_Block], codes: Ints, words: Sequence[str]) -> None:
        self._blocks, self._words, self.texts = blocks, words, sum(block.counts.shape[0] for block in blocks)
        distinct, first, place = np.unique(codes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        self._codes = distinct[order]
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        self._numbers = rank[place]  # of each block's codes
        self.frequencies = np.zeros(len(order), np.int64)
        for block in blocks:
            self.frequencies[self._numbers_of(block)] += ngrams.document_frequencies(block.counts)

    def _numbers_of(self, block: _Block) -> NDArray[np.int32]:
        return self._numbers[block.first : block.first + block.counts.shape[1]]

    def blocks(self, kept: Ints) -> Iterator[csr_array]:
        column = _columns(kept, len(self._codes))
        for block in self._blocks:
            counts = ngrams.renumber(block.counts, column[self._numbers_of(block)], len(kept))
            counts.sort_indices()
            yield counts

    def names(self, kept: Ints) -> list[str]:
        codes = self._codes[kept]
        lefts, rights = ((codes >> 32) - 1).tolist(), (codes & _LOW).tolist()
        return [
            self._words[right] if left < 0 else f"{self._words[left]} {self._words[right]}"
            for left, right in zip(lefts, rights, strict=True)
        ]


def _count_words_and_pairs(texts: Iterable[str]) -> _WordsAndPairs:
    numbers: dict[str, int] = {}
    blocks: list[_Block] = []
    codes: list[Ints] = []
    total = 0
    for block in batched(texts, BLOCK):
        rows = [_codes(text, numbers) for text in block]
        flat = np.concatenate(rows)
        distinct, first, place = np.unique(flat, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        ends = np.cumsum([0, *map(len, rows)]).astype(np.int32)
        counts = csr_array((np.ones(len(flat), np.float32), rank[place], ends), shape=(len(rows), len(order)))
        counts.sum_duplicates()
        blocks.append(_Block(counts, total))
        codes.append(distinct[order])
        total += len(order)
    return _WordsAndPairs(blocks, np.concatenate([np.zeros(0, np.int64), *codes]), list(numbers))


def _codes(text: str, numbers: dict[str, int]) -> Ints:
    words = [numbers.setdefault(word, len(numbers)) for word in ngrams.WORD.findall(text.lower())]
    ids = np.array(words, np.int64)
    return np.concatenate([ids, ((ids[:-1] + 1) << 32) | ids[1:]])


def _columns(kept: Ints, terms: int) -> NDArray[np.int32]:
    """The column of each term, [terms]; -1 if it is dropped."""
    column = np.full(terms, -1, np.int32)
    column[kept] = np.arange(len(kept), dtype=np.int32)
    return column


def _rows(counts: csr_array) -> Iterator[csr_array]:
    return (counts[first : first + BLOCK] for first in range(0, counts.shape[0], BLOCK))
