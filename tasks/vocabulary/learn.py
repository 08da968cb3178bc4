"""Learns byte-level BPE merges from counted pieces (Sennrich, Haddow & Birch, ACL 2016; over bytes as in GPT-2).

The rule: start with single bytes, and repeatedly merge the most frequent pair of neighbours within a piece. Ties go to
the pair with the smallest ids (the left id first), so the merges depend on nothing but the counts.

All distinct pieces lie in one array; a merge changes the places where its pair occurs, all at once, and the counts of
the pairs next to them. So the time grows with the distinct pieces and the merges, not with the texts.

The next pairs in the order are merged together, as long as none begins with a token that another ends with. The merges
are the same as one at a time, since no merge of (a, b) moves a later pair of the batch, (c, d), from its turn:

- Its own places and its count stay: only pairs that end with a, or begin with b, lose some.
- No other pair gets ahead of it. Counts of old pairs only fall. Each place of a new pair, (x, ab) or (ab, y), was one
  of (x, a) or (b, y). These are not in the batch, and would have ended it if they were ahead of (c, d); so the new pair
  is no more frequent. Nor is it ahead in a tie, because new ids are the largest.

A pair of equal tokens ends a batch, because from "aaa" it makes (aa, a), whose places were its own.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.shared.progress import SECONDS_BETWEEN_LINES, logger, report_progress
from tasks.vocabulary.tokenizer_file import FIRST_BYTE, FIRST_MERGE, Merge

Numbers = npt.NDArray[np.signedinteger]
_GONE, _SHIFT = -1, 32


class Learner:
    """Pieces as tokens, which are merged pair by pair.

    A place is that of a token's first byte. Pairs are numbered as they come up. All places of a pair are found at once,
    when the later of its tokens is made; from then on it only loses some.
    """

    def __init__(self, pieces: Sequence[bytes], counts: Sequence[int] | Numbers) -> None:
        """`counts` says how often each of the distinct pieces occurs in the texts."""
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        content = np.frombuffer(b"".join(pieces), np.uint8)
        size = len(content)
        # A merge at a place takes a token away and makes two pairs at most: there are fewer than 3 · size.
        whole: type[np.signedinteger] = np.int32 if 3 * size < 2**31 else np.int64
        self._tokens = content + np.int32(FIRST_BYTE)
        self._times = np.repeat(np.asarray(counts, np.int64), lengths)
        self._next = np.arange(1, size + 1, dtype=whole)
        self._before = np.arange(-1, size - 1, dtype=whole)
        ends = np.cumsum(lengths[lengths > 0])
        self._next[ends - 1] = _GONE
        self._before[np.append(0, ends[:-1])[: len(ends)]] = _GONE
        self._pair = np.full(size, _GONE, whole)  # the one that begins at each place
        self._counts, self._keys = _Growing(np.int64), _Growing(np.int64)  # of each pair
        self._places, self._starts = _Growing(whole), _Growing(np.int64)  # of pair n: places[starts[n] : starts[n + 1]]
        self._starts.extend(np.zeros(1, np.int64))
        self._heap: list[tuple[int, int, int]] = []
        self._floor = 2**62  # the heap has all pairs that are at least so frequent
        self._add(np.flatnonzero(self._next != _GONE).astype(whole))

    def merge(self, number: int) -> list[Merge]:
        """Merges up to `number` times, as long as there is a pair; returns the merged pairs, in order."""
        merges: list[Merge] = []
        last_line = time.monotonic()
        while pairs := self._next_pairs(number - len(merges)):
            keys = self._keys.values[pairs].tolist()
            self._join(pairs, FIRST_MERGE + len(merges))
            merges.extend(map(_tokens_of, keys))
            if time.monotonic() - last_line >= SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                logger("vocabulary").info("vocabulary: %s of %s merges", f"{len(merges):,}", f"{number:,}")
                report_progress(len(merges) / number)
        return merges

    def token_counts(self, size: int) -> npt.NDArray[np.int64]:
        """How often the texts use each token, [size]."""
        counts = np.zeros(size, np.int64)
        alive = self._tokens != _GONE
        np.add.at(counts, self._tokens[alive], self._times[alive])
        return counts

    def _next_pairs(self, most: int) -> list[int]:
        """The pairs whose turn it is, in order, as long as none begins with a token that another ends with."""
        pairs: list[int] = []
        lefts: set[int] = set()
        rights: set[int] = set()
        while len(pairs) < most and (entry := self._most_frequent()) is not None:
            left, right = _tokens_of(entry[1])
            if left in rights or right in lefts:
                heapq.heappush(self._heap, entry)
                break
            pairs.append(entry[2])
            if left == right:
                break
            lefts.add(left)
            rights.add(right)
        return pairs

    def _most_frequent(self) -> tuple[int, int, int] | None:
        """Minus the count, key and number of the next pair. Counts in the heap may be too large, and are corrected."""
        counts = self._counts.values
        while self._heap or self._lower_floor():
            negative, key, pair = heapq.heappop(self._heap)
            count = int(counts[pair])
            if count == -negative:
                return negative, key, pair
            if count >= self._floor:
                heapq.heappush(self._heap, (-count, key, pair))
        return None

    def _lower_floor(self) -> bool:
        """Fills the empty heap with those that are at least half as frequent as the first; whether there are any."""
        below = np.where(self._counts.values < self._floor, self._counts.values, 0)
        self._floor = max(1, int(below.max(initial=0)) // 2)
        self._push(np.flatnonzero(below >= self._floor))
        return bool(self._heap)

    def _push(self, pairs: Numbers) -> None:
        entries = (-self._counts.values[pairs]).tolist(), self._keys.values[pairs].tolist(), pairs.tolist()
        for entry in zip(*entries, strict=True):
            heapq.heappush(self._heap, entry)

    def _join(self, pairs: list[int], new: int) -> None:
        """Makes one token of two wherever they are neighbours, from the left to the right; `new` is the first's id."""
        lefts, ids = self._found(pairs, new)
        rights, before = self._next[lefts], self._before[lefts]
        after = self._next[rights]
        there_before, there_after = before != _GONE, after != _GONE
        there_before[1:] &= before[1:] != rights[:-1]  # what is merged just before ends here: "abab"
        before, kept = before[there_before], lefts[there_after]
        self._remove(np.concatenate([before, rights[there_after]]))
        self._counts.values[pairs] = 0

        self._tokens[lefts], self._tokens[rights] = ids, _GONE
        self._pair[lefts], self._pair[rights] = _GONE, _GONE
        self._next[lefts], self._before[after[there_after]] = after, kept
        self._add(np.concatenate([before, kept]))

    def _found(self, pairs: list[int], new: int) -> tuple[Numbers, Numbers]:
        """Where the pairs are, in ascending order, and the id that each becomes there."""
        starts, places = self._starts.values, self._places.values
        found = [places[start:end] for start, end in zip(starts[pairs], starts[np.add(pairs, 1)], strict=True)]
        lengths, lefts = [len(own) for own in found], np.concatenate(found)
        still = self._pair[lefts] == np.repeat(pairs, lengths)
        lefts, ids = lefts[still], np.repeat(np.arange(new, new + len(pairs)), lengths)[still]
        order = np.argsort(lefts)
        lefts, ids = lefts[order], ids[order]
        left, right = _tokens_of(int(self._keys.values[pairs[-1]]))
        if left != right:
            return lefts, ids
        alone = self._without_overlaps(lefts)
        return lefts[alone], ids[alone]

    def _without_overlaps(self, lefts: Numbers) -> npt.NDArray[np.bool_]:
        """Every other place of a run of places that follow each other: of "aaa" only the first pair is merged."""
        follows = np.isin(self._before[lefts], lefts)
        position = np.arange(len(lefts))
        start = np.maximum.accumulate(np.where(follows, 0, position))
        alone: npt.NDArray[np.bool_] = (position - start) % 2 == 0
        return alone

    def _remove(self, places: Numbers) -> None:
        """Takes the pairs that begin at these places away from the counts."""
        np.subtract.at(self._counts.values, self._pair[places], self._times[places])

    def _add(self, places: Numbers) -> None:
        """Counts the pairs that begin at these places; all of them are new."""
        if not len(places):
            return
        places = places[np.argsort(self._keys_at(places))]
        keys = self._keys_at(places)
        begins = np.append(True, keys[1:] != keys[:-1])
        starts = np.flatnonzero(begins)
        first = len(self._counts.values)
        self._pair[places] = first - 1 + np.cumsum(begins, dtype=places.dtype)
        counts = np.add.reduceat(self._times[places], starts)
        self._starts.extend(len(self._places.values) + np.append(starts[1:], len(places)))
        self._places.extend(places)
        self._counts.extend(counts)
        self._keys.extend(keys[starts])
        self._push(first + np.flatnonzero(counts >= self._floor))

    def _keys_at(self, places: Numbers) -> npt.NDArray[np.int64]:
        return (self._tokens[places].astype(np.int64) << _SHIFT) | self._tokens[self._next[places]]


def _tokens_of(key: int) -> Merge:
    return key >> _SHIFT, key & (2**_SHIFT - 1)


class _Growing:
    """A one-dimensional array that grows at its end, in amortized constant time."""

    def __init__(self, kind: type[np.signedinteger]) -> None:
        self._room: Numbers = np.empty(1024, kind)
        self.values = self._room[:0]

    def extend(self, more: Numbers) -> None:
        """Puts more numbers at the end."""
        size = len(self.values) + len(more)
        if size > len(self._room):
            self._room = np.empty(max(size, 2 * len(self._room)), self._room.dtype)
            self._room[: len(self.values)] = self.values
        self._room[len(self.values) : size] = more
        self.values = self._room[:size]
