"""Finds documents that repeat an earlier one, exactly or nearly.

Exact: equal digests of the text. Near: MinHash signatures (Broder, On the resemblance and containment of documents,
1997) propose candidates through locality-sensitive hashing, and the Jaccard similarity of the shingles themselves
decides. An unlucky signature therefore drops nothing; it can only miss a duplicate, one in a thousand at the threshold.

In memory stay a signature, its place in the index and a digest: about 2 kB per document of any length. The shingles are
larger than the texts, so they go to a file and are read again only for candidates.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt
from rensa import RMinHash, RMinHashLSH

from tasks.cleaning.shingles import Hashes, jaccard, shingles
from tasks.cleaning.union_find import UnionFind

if TYPE_CHECKING:
    from tasks.cleaning.settings import Policy

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


class DuplicateFinder:
    """Decides, one document after another, which ones to drop.

    A document is compared with earlier ones that were kept, so every dropped one is represented by a kept one.
    Kept duplicates whose policy is `group` are joined in `groups`.
    """

    def __init__(
        self,
        spill: BinaryIO,
        *,
        exact: Policy = "drop",
        near: Policy = "group",
        threshold: float = 0.9,
        shingle_words: int = 3,
        permutations: int = 128,
        seed: int = 0,
    ) -> None:
        """`spill` is an empty file, open for writing and reading; it grows to about one and a half times the texts."""
        self.groups = UnionFind()
        self._exact, self._near = exact, near
        self._threshold, self._shingle_words = threshold, shingle_words
        self._permutations, self._seed = permutations, seed
        self._index = RMinHashLSH(threshold, permutations, band_count(permutations, threshold))
        self._spill = spill
        self._offsets = array("Q", [0])
        self._ids: list[str] = []
        self._digests: list[bytes] = []
        self._leaders = array("Q")
        self._group_sizes: Counter[int] = Counter()
        self._first: dict[bytes, str] = {}

    def add(self, doc_id: str, text: str) -> Duplicate | None:
        """The earlier document that this one repeats and is dropped for; None if it is kept."""
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        twin = self._first.get(digest)
        if twin is not None and self._exact == "drop":
            return Duplicate(twin, 1.0, exact=True)
        if twin is not None and self._exact == "group":
            self.groups.union(twin, doc_id)  # and with all that are near to the twin
            return None
        if self._near != "keep":
            original = self._add_near(doc_id, text, digest)
            if original is not None:
                return original
        self._first.setdefault(digest, doc_id)
        return None

    def _add_near(self, doc_id: str, text: str, digest: bytes) -> Duplicate | None:
        hashes = shingles(text, self._shingle_words)
        if not len(hashes):
            return None  # a text without words: nothing to compare
        signature = RMinHash(self._permutations, self._seed)
        signature.update(hashes.view("V8").tolist())
        candidates = np.array(sorted(self._index.query(signature)), np.int64)
        if self._exact == "keep":  # under the other policies no text gets here twice
            candidates = candidates[[self._digests[candidate] != digest for candidate in candidates.tolist()]]
        leader = len(self._ids)
        if self._near == "group":
            leader = self._join_groups(doc_id, hashes, candidates)
        elif (nearest := self._nearest(hashes, candidates)) is not None:
            return nearest
        if self._group_sizes[leader] < _MAX_INDEXED_PER_GROUP:
            self._group_sizes[leader] += 1
            self._add_to_index(doc_id, digest, hashes, signature, leader)
        return None

    def _add_to_index(self, doc_id: str, digest: bytes, hashes: Hashes, signature: RMinHash, leader: int) -> None:
        self._index.insert(len(self._ids), signature)
        self._ids.append(doc_id)
        self._digests.append(digest)
        self._leaders.append(leader)
        self._spill.seek(self._offsets[-1] * hashes.itemsize)
        self._spill.write(hashes.tobytes())
        self._offsets.append(self._offsets[-1] + len(hashes))

    def _nearest(self, hashes: Hashes, candidates: npt.NDArray[np.int64]) -> Duplicate | None:
        """The most similar candidate at or above the threshold; the first of equals."""
        best = None
        for candidate in candidates:
            similarity = jaccard(hashes, self._read(candidate))
            if similarity >= self._threshold and (best is None or similarity > best.similarity):
                best = Duplicate(self._ids[candidate], similarity, exact=False)
        return best

    def _join_groups(self, doc_id: str, hashes: Hashes, candidates: npt.NDArray[np.int64]) -> int:
        """Joins the document with every group that has a near candidate; returns the leader of the first such group.

        Documents with the same leader were joined earlier, so one near candidate among them is enough: a large group
        is not compared member by member.
        """
        leader = len(self._ids)
        leaders = np.frombuffer(self._leaders, np.uint64)[candidates]
        while len(candidates):
            first = int(candidates[0])
            rest = np.arange(len(candidates)) > 0
            if jaccard(hashes, self._read(first)) >= self._threshold:
                self.groups.union(self._ids[first], doc_id)
                leader = min(leader, int(leaders[0]))
                rest = leaders != leaders[0]
            candidates, leaders = candidates[rest], leaders[rest]
        return leader

    def _read(self, position: int | np.int64) -> Hashes:
        start, end = self._offsets[position], self._offsets[position + 1]
        self._spill.seek(start * 8)
        return np.frombuffer(self._spill.read((end - start) * 8), np.uint64)


def band_count(permutations: int, threshold: float) -> int:
    """The fewest bands that find 999 of 1,000 pairs at the threshold: fewer bands propose fewer false candidates.

    Two documents of similarity s meet in one of b bands of r numbers with probability 1 - (1 - s^r)^b
    (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4).
    """
    for bands in range(1, permutations):
        if permutations % bands == 0 and 1 - (1 - threshold ** (permutations // bands)) ** bands >= _RECALL:
            return bands
    return permutations
