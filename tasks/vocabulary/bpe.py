"""Learns byte-level BPE merges from texts (Sennrich, Haddow & Birch, ACL 2016; over bytes as in GPT-2).

The rule: cut the texts into pieces, start with single bytes, and repeatedly merge the most frequent pair of neighbours.
Ties go to the pair with the smallest ids (the left id first), so the merges depend on nothing but the texts, not on
their order or on the number of threads.

`rustbpe` does the work. It follows this rule exactly, and was the fastest of the libraries measured
(`benchmarks/vocabulary.py`): about 3 times as fast as `tokenizers`, and a little faster than sentencepiece, which does
not cut texts by a given pattern. The texts are streamed; a counter of distinct pieces stays in memory. It counts in
32 bits, which suffices for about 50 GB of text.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import rustbpe

from tasks.shared.errors import SettingsError
from tasks.shared.progress import SECONDS_BETWEEN_LINES, logger, report_progress
from tasks.vocabulary.tokenizer_file import FIRST_BYTE, FIRST_MERGE, PATTERN, Merge

BUFFER_TEXTS = 256
"""Texts in memory while their pieces are counted, on all cores."""
_MERGES = re.compile(r"\((\d+)/(\d+) merges\)")
TOKENS_PER_TEXT = 4
MIN_SIZE, MAX_SIZE = 2_000, 16_000
"""Bounds of the default size: what a rare token says about a label takes many texts to learn."""


def default_size(training_texts: int) -> int:
    """The vocabulary's size for a classifier trained on this many texts (docs/experiments.md)."""
    return min(max(TOKENS_PER_TEXT * training_texts, MIN_SIZE), MAX_SIZE)


def learn_merges(texts: Iterable[str], size: int, pattern: str = PATTERN) -> list[Merge]:
    """The merges of a vocabulary of at most `size` tokens; fewer if no pair is left to merge.

    Raises SettingsError if `size` has no room for the special tokens and the bytes.
    """
    if size < FIRST_MERGE:
        raise SettingsError(f"vocabulary.size: {size} is too small; give {FIRST_MERGE} or more")
    learner = rustbpe.Tokenizer()
    with _merges_reported():
        learner.train_from_iterator(iter(texts), size - FIRST_BYTE, buffer_size=BUFFER_TEXTS, pattern=pattern)
    ids = {bytes(token): rank + FIRST_BYTE for token, rank in learner.get_mergeable_ranks()}
    return [_halves(token, ids) for token, number in ids.items() if number >= FIRST_MERGE]


@contextmanager
def _merges_reported() -> Iterator[None]:
    """Progress of the merges, which rustbpe reports to its own logger."""
    theirs = logging.getLogger("rustbpe")
    before, handler = (theirs.level, theirs.propagate), _MergeProgress()
    theirs.setLevel(logging.INFO)
    theirs.propagate = False
    theirs.addHandler(handler)
    try:
        yield
    finally:
        theirs.removeHandler(handler)
        theirs.level, theirs.propagate = before


class _MergeProgress(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._last_line = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        found = _MERGES.search(record.getMessage())
        if found and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            done, total = map(int, found.groups())
            logger("vocabulary").info("vocabulary: %s of %s merges", f"{done:,}", f"{total:,}")
            report_progress(done / total)


def _halves(token: bytes, ids: dict[bytes, int]) -> Merge:
    """The two tokens that were merged into this one: what the earlier merges make of its bytes.

    The time grows with the square of the bytes, of which there are at most 256.
    """
    pieces = [token[i : i + 1] for i in range(len(token))]
    while len(pieces) > 2:
        _, at = min((ids.get(pieces[i] + pieces[i + 1], len(ids) + FIRST_BYTE), i) for i in range(len(pieces) - 1))
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return ids[pieces[0]], ids[pieces[1]]


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
