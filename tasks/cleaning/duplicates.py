"""Finds documents that repeat an earlier one, exactly or nearly.

Exact: equal digests of the text. Near: signatures (MinHash: Broder, On the resemblance and containment of documents,
1997) propose candidates through locality-sensitive hashing, and the Jaccard similarity of the shingles themselves
decides. So an unlucky signature drops nothing; it can only overlook a duplicate, one in a thousand at the threshold.

In memory stay a signature, its place in the index and a digest: about 2 kB a document, however long. The shingles,
larger than the texts, go to a file, and are read again only for candidates.
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

from tasks.cleaning.groups import Groups
from tasks.cleaning.shingles import Hashes, jaccard, shingles

if TYPE_CHECKING:
    from tasks.cleaning.settings import Policy

_RECALL = 0.999
_INDEXED_IN_A_GROUP = 1000
"""Later documents are compared with that many of a large group of near duplicates, so that time does not grow with
its square; one that is near to none of them, but to others of the group, is overlooked."""


@dataclass(frozen=True)
class Duplicate:
    """An earlier document that a text repeats; `similarity` is exact, from 0 to 1."""

    of: str
    similarity: float
    exact: bool


class Duplicates:
    """Takes documents one by one, in order, and says of each whether it is to be dropped.

    A document is compared with those before it that were kept, so every dropped one has a kept one to stand for it.
    Kept duplicates whose policy is `group` are tied together in `groups`.
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
        self.groups = Groups()
        self._exact, self._near = exact, near
        self._threshold, self._shingle_words = threshold, shingle_words
        self._permutations, self._seed = permutations, seed
        self._index = RMinHashLSH(threshold, permutations, bands(permutations, threshold))
        self._spill = spill
        self._offsets = array("Q", [0])
        self._ids: list[str] = []
        self._digests: list[bytes] = []
        self._leaders = array("Q")
        self._followers: Counter[int] = Counter()
        self._first: dict[bytes, str] = {}

    def add(self, doc_id: str, text: str) -> Duplicate | None:
        """The earlier document for whose sake this one is to be dropped, or None: it is kept."""
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        twin = self._first.get(digest)
        if twin is not None and self._exact == "drop":
            return Duplicate(twin, 1.0, exact=True)
        if twin is not None and self._exact == "group":
            self.groups.tie(twin, doc_id)  # and so to all that are near to both
            return None
        if self._near != "keep":
            repeated = self._look_up(doc_id, text, digest)
            if repeated is not None:
                return repeated
        self._first.setdefault(digest, doc_id)
        return None

    def _look_up(self, doc_id: str, text: str, digest: bytes) -> Duplicate | None:
        own = shingles(text, self._shingle_words)
        if not len(own):
            return None  # no word in it: nothing to compare
        signature = RMinHash(self._permutations, self._seed)
        signature.update(own.view("V8").tolist())
        candidates = np.array(sorted(self._index.query(signature)), np.int64)
        if self._exact == "keep":  # otherwise no text gets here twice
            candidates = candidates[[self._digests[candidate] != digest for candidate in candidates.tolist()]]
        leader = len(self._ids)
        if self._near == "group":
            leader = self._tie(doc_id, own, candidates)
        elif (nearest := self._nearest(own, candidates)) is not None:
            return nearest
        if self._followers[leader] < _INDEXED_IN_A_GROUP:
            self._followers[leader] += 1
            self._keep(doc_id, digest, own, signature, leader)
        return None

    def _keep(self, doc_id: str, digest: bytes, own: Hashes, signature: RMinHash, leader: int) -> None:
        self._index.insert(len(self._ids), signature)
        self._ids.append(doc_id)
        self._digests.append(digest)
        self._leaders.append(leader)
        self._spill.seek(self._offsets[-1] * own.itemsize)
        self._spill.write(own.tobytes())
        self._offsets.append(self._offsets[-1] + len(own))

    def _nearest(self, own: Hashes, candidates: npt.NDArray[np.int64]) -> Duplicate | None:
        """The most similar candidate at or above the threshold, the first of equals."""
        best = None
        for candidate in candidates:
            similarity = jaccard(own, self._read(candidate))
            if similarity >= self._threshold and (best is None or similarity > best.similarity):
                best = Duplicate(self._ids[candidate], similarity, exact=False)
        return best

    def _tie(self, doc_id: str, own: Hashes, candidates: npt.NDArray[np.int64]) -> int:
        """Ties the document to all groups in which a candidate is near; returns the leader it follows.

        Documents with the same leader were tied earlier, so one of them is enough: in a large group this spares
        comparing each with each.
        """
        followed = len(self._ids)
        leaders = np.frombuffer(self._leaders, np.uint64)[candidates]
        while len(candidates):
            first = int(candidates[0])
            rest = np.arange(len(candidates)) > 0
            if jaccard(own, self._read(first)) >= self._threshold:
                self.groups.tie(self._ids[first], doc_id)
                followed = min(followed, int(leaders[0]))
                rest = leaders != leaders[0]
            candidates, leaders = candidates[rest], leaders[rest]
        return followed

    def _read(self, position: int | np.int64) -> Hashes:
        start, end = self._offsets[position], self._offsets[position + 1]
        self._spill.seek(start * 8)
        return np.frombuffer(self._spill.read((end - start) * 8), np.uint64)


def bands(permutations: int, threshold: float) -> int:
    """The fewest bands that find 999 of 1,000 pairs at the threshold: fewer bands, fewer needless candidates.

    Two documents of similarity s meet in one of b bands of r numbers with probability 1 - (1 - s^r)^b
    (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4).
    """
    for count in range(1, permutations):
        if permutations % count == 0 and 1 - (1 - threshold ** (permutations // count)) ** count >= _RECALL:
            return count
    return permutations
