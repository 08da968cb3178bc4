"""Counts of words, word pairs and character n-grams of texts, as sparse matrices.

The features of words, pairs and n-grams are those of scikit-learn's `TfidfVectorizer` (words 1–2, or `char_wb` 2–5),
counted faster: the n-grams of a word depend on that word alone, so the counts of a text are (texts × words) @ (words ×
n-grams), and only distinct words are cut into n-grams.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.shared.batched import batched
from tasks.shared.statistics.metrics import Ints

WORD = re.compile(r"(?u)\b\w\w+\b")
"""A word as scikit-learn's vectorizers see it: two or more letters, digits or underscores."""
WORD_OR_SIGN = re.compile(r"\n+|[^\W\d_]+|\d+|[^\w\s]|_")
"""A run of letters, of digits or of line breaks, or another single character."""
CHARACTERS = (2, 5)
"""Shortest and longest character n-gram."""
BLOCK = 1024
"""Texts that are counted at a time: a term's occurrences in a text take memory one by one until then."""
PRIOR = 30
"""Terms added to the length of every text; see `root_frequencies`."""


def words_and_pairs(text: str) -> list[str]:
    """The lower-cased words of a text, then each pair of neighbours, joined by a space."""
    words = WORD.findall(text.lower())
    return words + [f"{left} {right}" for left, right in pairwise(words)]


def words_and_signs(text: str) -> list[str]:
    """The lower-cased words, numbers and signs of a text; successive line breaks are one."""
    return ["\n" if word[0] == "\n" else word for word in WORD_OR_SIGN.findall(text.lower())]


def character_ngrams(word: str) -> list[str]:
    """The character n-grams of a word between two spaces, as `char_wb` cuts them."""
    padded = f" {word} "
    found = []
    for size in range(CHARACTERS[0], CHARACTERS[1] + 1):
        found += [padded[start : start + size] for start in range(max(len(padded) - size, 0) + 1)]
        if size >= len(padded):
            break
    return found


def count(
    terms_of_texts: Iterable[Sequence[str]], columns: dict[str, int] | None = None
) -> tuple[csr_array, list[str]]:
    """Counts [texts, terms], and the terms in order of their columns.

    With `columns` (term → column) only those terms count; without, terms are numbered as they first occur.
    """
    numbers: dict[str, int] = {} if columns is None else columns
    blocks = [_count_block(block, numbers, columns is None) for block in batched(terms_of_texts, BLOCK)]
    data = np.concatenate([np.zeros(0, np.float32), *(block.data for block in blocks)])
    indices = np.concatenate([np.zeros(0, np.int32), *(block.indices for block in blocks)])
    lengths = np.concatenate([[0], *(np.diff(block.indptr) for block in blocks)])
    rows = np.cumsum(lengths).astype(np.int32)  # liblinear's indices
    return csr_array((data, indices, rows), shape=(len(lengths) - 1, len(numbers))), list(numbers)


def _count_block(terms_of_texts: Sequence[Sequence[str]], numbers: dict[str, int], grows: bool) -> csr_array:
    found: list[NDArray[np.int32]] = []
    for terms in terms_of_texts:
        if grows:
            ids = [numbers.setdefault(term, len(numbers)) for term in terms]
        else:
            ids = [number for term in terms if (number := numbers.get(term)) is not None]
        found.append(np.array(ids, np.int32))
    rows = np.concatenate([[0], np.cumsum([len(ids) for ids in found])]).astype(np.int32)
    flat = np.concatenate([np.zeros(0, np.int32), *found])
    counts = csr_array((np.ones(len(flat), np.float32), flat, rows), shape=(len(found), len(numbers)))
    counts.sum_duplicates()
    return counts


def count_words(texts: Sequence[str], columns: dict[str, int] | None = None) -> tuple[csr_array, list[str]]:
    """Counts of words and of pairs of neighbouring words; see `count`."""
    return count((words_and_pairs(text) for text in texts), columns)


def count_words_and_signs(texts: Sequence[str], columns: dict[str, int] | None = None) -> tuple[csr_array, list[str]]:
    """Counts of words, numbers and signs; see `count`."""
    return count((words_and_signs(text) for text in texts), columns)


def count_characters(texts: Sequence[str], columns: dict[str, int] | None = None) -> tuple[csr_array, list[str]]:
    """Counts of character n-grams inside words; see `count`."""
    in_texts, words = count(text.lower().split() for text in texts)
    in_words, ngrams = count((character_ngrams(word) for word in words), columns)
    return csr_array(in_texts @ in_words), ngrams


def document_frequencies(counts: csr_array) -> Ints:
    """The number of texts with each term, [terms]."""
    return np.bincount(counts.indices[counts.data > 0], minlength=counts.shape[1]).astype(np.int64)


def renumber(counts: csr_array, column: NDArray[np.int32], columns: int) -> csr_array:
    """Counts [texts, columns]: each term moves to its `column` [terms], and is dropped if that is -1."""
    moved = column[counts.indices]
    stays = moved >= 0
    before = np.concatenate([[0], np.cumsum(stays)]).astype(np.int32)
    return csr_array((counts.data[stays], moved[stays], before[counts.indptr]), shape=(counts.shape[0], columns))


def tf_idf(counts: csr_array, idf: NDArray[np.float32]) -> csr_array:
    """(1 + log count) · idf [terms], each row scaled to length one (or zero); like `counts` [texts, terms]."""
    values = (1 + np.log(counts.data)) * idf[counts.indices]
    weighted = csr_array((values.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape)
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    weighted.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(counts.indptr)).astype(np.float32)
    return weighted


def inverse_document_frequencies(frequencies: Ints, texts: int) -> NDArray[np.float32]:
    """log((1 + texts) / (1 + df)) + 1, scikit-learn's smoothed idf, [terms]."""
    return (np.log((1 + texts) / (1 + frequencies)) + 1).astype(np.float32)


def root_frequencies(counts: csr_array) -> csr_array:
    """The square root of each term's share of a text, as if the text were `PRIOR` terms longer; [texts, terms].

    The root makes the noise of rare and of common terms alike, and `PRIOR` keeps short texts from looking extreme.
    """
    lengths = np.repeat(np.asarray(counts.sum(axis=1)).ravel(), np.diff(counts.indptr))
    values = np.sqrt(counts.data / (lengths + PRIOR)).astype(np.float32)
    return csr_array((values, counts.indices, counts.indptr), shape=counts.shape)
