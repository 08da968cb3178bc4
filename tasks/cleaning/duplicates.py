"""Finds documents that repeat an earlier one, exactly or nearly.

Exact: equal digests of the text. Near: MinHash signatures (Broder, On the resemblance and containment of documents,
1997) propose candidates through locality-sensitive hashing, and the Jaccard similarity of the shingles themselves
decides. An unlucky signature therefore drops nothing; it can only miss a duplicate, one in a thousand at the threshold.

Texts are signed part by part (`sign`). One index over all parts decides, and it reads neither texts nor signatures: of
each signature it gets a number per band, one band after the other, and most documents share none with another
(`shared_buckets`). Only the others are compared, by their shingles.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from tasks.cleaning.shingles import Hashes, combine, jaccard, shingles
from tasks.cleaning.union_find import UnionFind

if TYPE_CHECKING:
    from tasks.cleaning.settings import Policy

Buckets = Mapping[int, Sequence[int]]
"""The buckets of documents, by their positions."""
_RECALL = 0.999
_MAX_INDEXED_PER_GROUP = 1000
"""Members of a large group of near duplicates that later documents are compared with, so that time does not grow with
the square of its size. A document that is near to other members only is missed."""


@dataclass(frozen=True)
class Duplicate:
    """The earlier document that a text repeats; `similarity` is the exact Jaccard similarity, from 0 to 1."""

    original: str
    similarity: float
    exact: bool


@dataclass(frozen=True)
class Signed:
    """What is compared of some documents in a row."""

    has_words: npt.NDArray[np.bool_]
    """Whether each has a shingle, [documents]; one without is nobody's near duplicate."""
    bands: Hashes
    """A number for each band of each signature, [documents, bands]; two documents that share one are candidates."""

    def compared(self) -> tuple[Hashes, npt.NDArray[np.int64]]:
        """The arguments of `shared_buckets` if these are all documents."""
        return self.bands[self.has_words].T, np.flatnonzero(self.has_words)


def sign(texts: Sequence[str], *, shingle_words: int, permutations: int, seed: int, threshold: float) -> Signed:
    """The bands of the MinHash signatures of cleaned texts."""
    signatures = np.zeros((len(texts), permutations), np.uint64)
    has_words = np.zeros(len(texts), np.bool_)
    for number, text in enumerate(texts):
        own = shingles(text, shingle_words)
        signature = RMinHash(permutations, seed)
        signature.update(own.view("V8").tolist())
        signatures[number] = signature.digest()
        has_words[number] = len(own) > 0
    bands = band_count(permutations, threshold)
    return Signed(
        has_words, combine([*np.moveaxis(signatures.reshape(len(texts), bands, permutations // bands), -1, 0)])
    )


class DuplicateFinder:
    """Decides, one document after another, which ones to drop.

    A document is compared with earlier ones that were kept, so every dropped one is represented by a kept one.
    Kept duplicates whose policy is `group` are joined in `groups`.
    """

    def __init__(
        self,
        buckets: Buckets,
        shingles_of: Callable[[int], Hashes],
        *,
        exact: Policy = "drop",
        near: Policy = "group",
        threshold: float = 0.9,
    ) -> None:
        """`buckets` are those of all documents (`shared_buckets`), by position; none if `near` is `keep`.

        Documents are added in the order of their positions; those that repeat no other one need not be.
        `shingles_of` is called with the positions of documents that have buckets.
        """
        self.groups = UnionFind()
        self._exact, self._near, self._threshold = exact, near, threshold
        self._buckets, self._shingles = buckets, shingles_of
        self._members: defaultdict[int, list[int]] = defaultdict(list)
        self._ids: dict[int, str] = {}
        self._digests: dict[int, bytes] = {}
        self._leaders: dict[int, int] = {}
        self._group_sizes: Counter[int] = Counter()
        self._first: dict[bytes, str] = {}

    def add(self, position: int, doc_id: str, digest: bytes) -> Duplicate | None:
        """The earlier document that this one repeats and is dropped for; None if it is kept. `digest`: of its text."""
        twin = self._first.get(digest)
        if twin is not None and self._exact == "drop":
            return Duplicate(twin, 1.0, exact=True)
        if twin is not None and self._exact == "group":
            self.groups.union(twin, doc_id)  # and with all that are near to the twin
            return None
        if self._near != "keep" and position in self._buckets:
            original = self._add_near(position, doc_id, digest)
            if original is not None:
                return original
        self._first.setdefault(digest, doc_id)
        return None

    def _add_near(self, position: int, doc_id: str, digest: bytes) -> Duplicate | None:
        buckets = self._buckets[position]
        candidates = sorted({candidate for bucket in buckets for candidate in self._members[bucket]})
        if self._exact == "keep":  # under the other policies no text gets here twice
            candidates = [candidate for candidate in candidates if self._digests[candidate] != digest]
        leader = position
        if self._near == "group":
            leader = self._join_groups(position, doc_id, candidates)
        elif (nearest := self._nearest(position, candidates)) is not None:
            return nearest
        if self._group_sizes[leader] < _MAX_INDEXED_PER_GROUP:
            self._group_sizes[leader] += 1
            self._ids[position], self._digests[position], self._leaders[position] = doc_id, digest, leader
            for bucket in buckets:
                self._members[bucket].append(position)
        return None

    def _nearest(self, position: int, candidates: Sequence[int]) -> Duplicate | None:
        """The most similar candidate at or above the threshold; the first of equals."""
        best, hashes = None, self._shingles(position)
        for candidate in candidates:
            similarity = jaccard(hashes, self._shingles(candidate))
            if similarity >= self._threshold and (best is None or similarity > best.similarity):
                best = Duplicate(self._ids[candidate], similarity, exact=False)
        return best

    def _join_groups(self, position: int, doc_id: str, candidates: Sequence[int]) -> int:
        """Joins the document with every group that has a near candidate; returns the leader of the first such group.

        Documents with the same leader were joined earlier, so one near candidate among them is enough: a large group
        is not compared member by member.
        """
        leader, hashes, joined = position, self._shingles(position), set[int]()
        for candidate in candidates:
            theirs = self._leaders[candidate]
            if theirs not in joined and jaccard(hashes, self._shingles(candidate)) >= self._threshold:
                self.groups.union(self._ids[candidate], doc_id)
                leader = min(leader, theirs)
                joined.add(theirs)
        return leader


def shared_buckets(bands: Iterable[Hashes], documents: npt.NDArray[np.int64]) -> dict[int, list[int]]:
    """The buckets of each document that shares one with another: documents with equal numbers in one band.

    Each of the `bands` has a number for every one of the `documents`, which are known by these positions. Buckets of
    the same documents, as near duplicates have them in most bands, are one.
    """
    buckets: dict[bytes, None] = {}
    for numbers in bands:
        places, names = repeated(numbers)
        bounds = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
        members = documents[places]
        buckets.update((members[begin:end].tobytes(), None) for begin, end in pairwise(bounds) if end > begin)
    of_document: defaultdict[int, list[int]] = defaultdict(list)
    for bucket, content in enumerate(buckets):
        for document in np.frombuffer(content, np.int64).tolist():
            of_document[document].append(bucket)
    return dict(of_document)


def repeated(numbers: Hashes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The places of numbers that occur more than once, and a name for each of them: the same for equal numbers."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    same = np.zeros(len(order) + 1, np.bool_)
    same[1:-1] = ordered[1:] == ordered[:-1]
    shared = same[1:] | same[:-1]
    return order[shared], np.cumsum(~same[:-1], dtype=np.int64)[shared]


def band_count(permutations: int, threshold: float) -> int:
    """The fewest bands that find 999 of 1,000 pairs at the threshold: fewer bands propose fewer false candidates.

    Two documents of similarity s meet in one of b bands of r numbers with probability 1 - (1 - s^r)^b
    (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4).
    """
    for bands in range(1, permutations):
        if permutations % bands == 0 and 1 - (1 - threshold ** (permutations // bands)) ** bands >= _RECALL:
            return bands
    return permutations
