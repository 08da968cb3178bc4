"""Learns byte-level BPE merges from texts (Sennrich, Haddow & Birch, ACL 2016; over bytes as in GPT-2).

The rule: cut the texts into pieces, begin with single bytes, and again and again join the pair of neighbours that
occurs most often. Of pairs that occur equally often, the one with the smallest ids is joined (the left id first); so
the merges depend on nothing but the texts, not even on their order or on the number of threads.

`rustbpe` does the work. It follows that rule to the letter, and was the fastest of the libraries measured
(`benchmarks/vocabulary.py`): some 3 times as fast as `tokenizers`, and a little faster than sentencepiece, which does
not cut texts by a given pattern. The texts stream through; what stays in memory is a counter of distinct pieces.
It counts in 32 bits, which is enough up to some 50 GB of text.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import rustbpe

from tasks.shared.errors import SettingsError
from tasks.vocabulary.tokenizer_file import FIRST_BYTE, FIRST_MERGE, PATTERN, Merge

TEXTS_AT_A_TIME = 256
"""Texts that the learner holds while it counts their pieces, on all cores."""
TOKENS_PER_TEXT = 4
FEWEST, MOST = 2_000, 16_000
"""Of the size that suits a corpus: what a rare token says of a label takes texts to learn."""


def suitable_size(training_texts: int) -> int:
    """How many tokens a vocabulary should have where so many texts train a classifier (docs/experiments.md)."""
    return min(max(TOKENS_PER_TEXT * training_texts, FEWEST), MOST)


def learn_merges(texts: Iterable[str], size: int, pattern: str = PATTERN) -> list[Merge]:
    """The merges of a vocabulary of at most `size` tokens: fewer where nothing is left to join.

    Raises SettingsError where `size` has no room for the special tokens and the bytes.
    """
    if size < FIRST_MERGE:
        raise SettingsError(f"vocabulary.size: {size} is too small; give {FIRST_MERGE} or more")
    learner = rustbpe.Tokenizer()
    learner.train_from_iterator(iter(texts), size - FIRST_BYTE, buffer_size=TEXTS_AT_A_TIME, pattern=pattern)
    ids = {bytes(token): rank + FIRST_BYTE for token, rank in learner.get_mergeable_ranks()}
    return [_halves(token, ids) for token, number in ids.items() if number >= FIRST_MERGE]


def _halves(token: bytes, ids: dict[bytes, int]) -> Merge:
    """The two tokens that were joined into this one: what the merges learned before it leave of its bytes."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        _, at = min((ids.get(parts[i] + parts[i + 1], len(ids) + FIRST_BYTE), i) for i in range(len(parts) - 1))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return ids[parts[0]], ids[parts[1]]


def drop_rare(
    merges: list[Merge], counts: npt.NDArray[np.int64], min_count: int
) -> tuple[list[Merge], npt.NDArray[np.int64]]:
    """Takes back the last merges while they join fewer than `min_count` pairs; returns what is left.

    `counts` says how often the texts, encoded with all merges, use each token ([258 + len(merges)]). Undoing the last
    merge gives its token's occurrences back to both halves, so the counts stay exact without encoding anything again.
    """
    merges, counts = list(merges), counts.copy()
    while merges and counts[FIRST_MERGE + len(merges) - 1] < min_count:
        last = counts[FIRST_MERGE + len(merges) - 1]
        for half in merges.pop():
            counts[half] += last
    return merges, counts[: FIRST_MERGE + len(merges)]
