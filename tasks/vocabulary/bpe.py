"""How large a vocabulary is, and which merges it keeps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tasks.shared.errors import SettingsError
from tasks.vocabulary.count import count_pieces
from tasks.vocabulary.learn import Learner
from tasks.vocabulary.tokenizer_file import FIRST_MERGE, PATTERN, Merge

TOKENS_PER_TEXT = 4
MIN_SIZE, MAX_SIZE = 2_000, 16_000
"""Bounds of the default size: what a rare token says about a label takes many texts to learn."""


def default_size(training_texts: int) -> int:
    """The vocabulary's size for a classifier trained on this many texts (docs/experiments.md)."""
    return min(max(TOKENS_PER_TEXT * training_texts, MIN_SIZE), MAX_SIZE)


def merges_for(size: int) -> int:
    """The most merges of a vocabulary of `size` tokens; SettingsError if the bytes alone are more."""
    if size < FIRST_MERGE:
        raise SettingsError(f"vocabulary.size: {size} is too small; give {FIRST_MERGE} or more")
    return size - FIRST_MERGE


def learn_merges(texts: Iterable[str], size: int, pattern: str = PATTERN) -> list[Merge]:
    """The merges of a vocabulary of at most `size` tokens; fewer if no pair is left to merge.

    Raises SettingsError if `size` has no room for the special tokens and the bytes.
    """
    number, counts = merges_for(size), count_pieces(texts, pattern)
    return Learner([piece.encode() for piece in counts], list(counts.values())).merge(number)


def drop_rare_merges(
    merges: list[Merge], counts: npt.NDArray[np.int64], min_count: int
) -> tuple[list[Merge], npt.NDArray[np.int64]]:
    """Undoes the last merges as long as they merge fewer than `min_count` pairs; returns the others and their counts.

    `counts` [258 + len(merges)] says how often the texts, encoded with all merges, use each token. Undoing the last
    merge gives its token's count back to both halves, so the counts stay exact without encoding the texts again.
    """
    merges, counts = list(merges), counts.copy()
    while merges and counts[FIRST_MERGE + len(merges) - 1] < min_count:
        last = counts[FIRST_MERGE + len(merges) - 1]
        for half in merges.pop():
            counts[half] += last
    return merges, counts[: FIRST_MERGE + len(merges)]
