"""Learns byte-level BPE merges from counted pieces (Sennrich, Haddow & Birch, ACL 2016; over bytes as in GPT-2).

The rule: start with single bytes, and repeatedly merge the most frequent pair of neighbours within a piece. Ties go to
the pair with the smallest ids (the left id first), so the merges depend on nothing but the counts.

All distinct pieces lie in one array; a merge changes the places where its pair occurs, all at once, and the counts of
the pairs next to them. So the time grows with the distinct pieces and the merges, not with the texts.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tasks.shared.progress import SECONDS_BETWEEN_LINES, logger, report_progress
from tasks.vocabulary.tokenizer_file import FIRST_BYTE, FIRST_MERGE, Merge

Numbers = npt.NDArray[np.int64]
_GONE, _SHIFT = -1, 32


class Learner:
    """Pieces as tokens, which are merged pair by pair."""

    def __init__(self, pieces: Sequence[bytes], counts: Sequence[int] | Numbers) -> None:
        """`counts` says how often each of the distinct pieces occurs in the texts."""
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        content = np.frombuffer(b"".join(pieces), np.uint8).astype(np.int64)
        self._tokens = content + FIRST_BYTE
        self._times = np.repeat(np.asarray(counts, np.int64), lengths)
        self._next = np.arange(1, len(content) + 1)
        self._before = np.arange(-1, len(content) - 1)
        ends = np.cumsum(lengths[lengths > 0])
        self._next[ends - 1] = _GONE
        self._before[np.append(0, ends[:-1])[: len(ends)]] = _GONE
        self._places: defaultdict[int, list[Numbers]] = defaultdict(list)
        self._counts: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []
        self._add(np.flatnonzero(self._next != _GONE))

    def merge(self, number: int) -> list[Merge]:
        """Merges up to `number` times, as long as there is a pair; returns the merged pairs, in order."""
        merges: list[Merge] = []
        last_line = time.monotonic()
        while len(merges) < number and (pair := self._most_frequent()) is not None:
            left, right = pair >> _SHIFT, pair & (2**_SHIFT - 1)
            self._join(pair, left, right, FIRST_MERGE + len(merges))
            merges.append((left, right))
            if time.monotonic() - last_line >= SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                logger("vocabulary").info("vocabulary: %s of %s merges", f"{len(merges):,}", f"{number:,}")
                report_progress(len(merges) / number)
        return merges

    def token_counts(self, size: int) -> Numbers:
        """How often the texts use each token, [size]."""
        counts = np.zeros(size, np.int64)
        alive = self._tokens != _GONE
        np.add.at(counts, self._tokens[alive], self._times[alive])
        return counts

    def _most_frequent(self) -> int | None:
        """The pair whose turn it is. Its counts in the heap may be too large, and are corrected when they come up."""
        while self._heap:
            negative, pair = heapq.heappop(self._heap)
            count = self._counts.get(pair, 0)
            if count == -negative:
                return pair
            if 0 < count < -negative:
                heapq.heappush(self._heap, (-count, pair))
        return None

    def _join(self, pair: int, left: int, right: int, new: int) -> None:
        """Makes one token of two wherever they are neighbours, from the left to the right."""
        found = self._places.pop(pair)
        lefts = np.unique(np.concatenate(found)) if len(found) > 1 else found[0]
        lefts = lefts[(self._tokens[lefts] == left) & (self._next[lefts] != _GONE)]
        lefts = lefts[self._tokens[self._next[lefts]] == right]
        if left == right:
            lefts = self._without_overlaps(lefts)
        rights, before = self._next[lefts], self._before[lefts]
        after = self._next[rights]
        touching = before[1:] == rights[:-1]  # what is merged just before ends here: "abab"
        there = before != _GONE
        there[1:] &= ~touching
        del self._counts[pair]
        self._remove(np.concatenate([before[there], rights[after != _GONE]]), pair)

        self._tokens[lefts], self._tokens[rights] = new, _GONE
        self._next[lefts], self._next[rights] = after, _GONE
        there_after = after != _GONE
        self._before[after[there_after]] = lefts[there_after]
        self._add(np.sort(np.concatenate([before[there], lefts[there_after]])))

    def _without_overlaps(self, lefts: Numbers) -> Numbers:
        """Every other place of a run of places that follow each other: of "aaa" only the first pair is merged."""
        follows = np.isin(self._before[lefts], lefts)
        position = np.arange(len(lefts))
        start = np.maximum.accumulate(np.where(follows, 0, position))
        kept: Numbers = lefts[(position - start) % 2 == 0]
        return kept

    def _remove(self, places: Numbers, merged: int) -> None:
        """Takes away the pairs that begin at these places, but for the one that is merged."""
        for pair, times, _ in self._by_pair(places):
            if pair == merged:
                continue
            left = self._counts[pair] - times
            if left:
                self._counts[pair] = left
            else:
                del self._counts[pair]

    def _add(self, places: Numbers) -> None:
        """Counts the pairs that begin at these places, in ascending order."""
        for pair, times, own in self._by_pair(places):
            self._places[pair].append(own)
            self._counts[pair] = self._counts.get(pair, 0) + times
            heapq.heappush(self._heap, (-self._counts[pair], pair))

    def _by_pair(self, places: Numbers) -> Iterator[tuple[int, int, Numbers]]:
        """Each pair that begins at these places, how often the texts have it there, and where."""
        if not len(places):
            return
        pairs = (self._tokens[places] << _SHIFT) | self._tokens[self._next[places]]
        order = np.argsort(pairs, kind="stable")
        pairs, places = pairs[order], places[order]
        starts = np.append(0, np.flatnonzero(pairs[1:] != pairs[:-1]) + 1)
        times = np.add.reduceat(self._times[places], starts)
        bounds = [*starts.tolist(), len(places)]
        for number, (pair, sum_) in enumerate(zip(pairs[starts].tolist(), times.tolist(), strict=True)):
            yield pair, sum_, places[bounds[number] : bounds[number + 1]]
