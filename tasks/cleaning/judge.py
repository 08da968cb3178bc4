"""Decides which documents are dropped, by the facts about them: no text is read here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tasks.cleaning.conflicts import LabelConflicts
from tasks.cleaning.duplicates import Duplicate, DuplicateFinder, shared_buckets
from tasks.cleaning.parts import CANDIDATES_SCHEMA, DECISIONS_SCHEMA, read_shingles
from tasks.shared.parts.beside import Beside, BesideWriter

if TYPE_CHECKING:
    from tasks.cleaning.duplicates import Buckets
    from tasks.cleaning.prepared import Fact, Numbers, Prepared
    from tasks.cleaning.schema import Reason
    from tasks.cleaning.settings import CleaningSettings
    from tasks.cleaning.shingles import Hashes
    from tasks.cleaning.union_find import UnionFind
    from tasks.shared.parts.make import Made
    from tasks.shared.parts.part import Part

Conflicts = dict[str, dict[str, str]]
"""The documents of each text with more than one label (doc_id → label), by the text's digest."""
_OPEN_PARTS = 64


class Rejection(NamedTuple):
    """Why a document is dropped."""

    reason: Reason
    detail: str


class Candidates:
    """The documents that share a band of their signatures with another one, and their shingles once they are made."""

    def __init__(self, prepared: Prepared, left_out: Numbers) -> None:
        """All documents with a signature but those at `left_out` are compared."""
        compared = ~np.isin(prepared.signed, left_out, assume_unique=True)
        bands = (band[compared] for band in prepared.bands())
        self.buckets: Buckets = shared_buckets(bands, prepared.signed[compared])
        self.positions: Numbers = np.sort(np.fromiter(self.buckets, np.int64, len(self.buckets)))
        self._rows = list(prepared.by_part(self.positions))
        self.parts: list[Part] = [part for part, _, _ in self._rows]
        """Those with a candidate."""
        self._places = {
            position: (part, place)
            for part, _, positions in self._rows
            for place, position in enumerate(positions.tolist())
        }

    def write(self, path: Path) -> Beside:
        """Writes the rows of the candidates of each part."""
        with BesideWriter(path, CANDIDATES_SCHEMA) as writer:
            for part, rows, _ in self._rows:
                writer.write(part, [rows.tolist()])
        return writer.written

    def shingles_in(self, made: Made) -> Callable[[int], Hashes]:
        """Gives the shingles of the candidate at a position, from the parts that `shingle_part` has made."""
        read = lru_cache(_OPEN_PARTS)(lambda part: read_shingles(made.folder(part)))

        def shingles(position: int) -> Hashes:
            part, place = self._places[position]
            hashes: Hashes = read(part)[place].values.to_numpy()
            return hashes

        return shingles


def later_copies(facts: dict[int, Fact]) -> Numbers:
    """The positions of documents with the text of an earlier one, in order."""
    seen, later = set[str](), []
    for position, fact in facts.items():
        if fact.digest in seen:
            later.append(position)
        seen.add(fact.digest)
    return np.array(later, np.int64)


def judge(
    prepared: Prepared,
    repeated: dict[int, Fact],
    candidates: Candidates,
    shingled: Made,
    decisions: Path,
    settings: CleaningSettings,
) -> tuple[Counter[str], Conflicts, Beside]:
    """Writes what happens to the documents that repeat others.

    Returns the number of dropped documents by reason, and the texts with more than one label. `repeated` are the facts
    of the documents whose text another one has, in order; `shingled` has the shingles of the candidates. All others are
    kept. With `conflicting_labels: drop_both` the first document of a text is dropped too.
    """
    options = settings.duplicates
    policies = {"exact": options.exact, "near": options.near}
    finder = DuplicateFinder(
        candidates.buckets, candidates.shingles_in(shingled), **policies, threshold=options.threshold
    )
    conflicts, rejected = LabelConflicts(), dict[int, Rejection]()
    drop_both = settings.conflicting_labels == "drop_both"
    for fact in repeated.values() if drop_both else ():
        conflicts.add(fact.digest, fact.doc_id, fact.label)
    others = np.setdiff1d(candidates.positions, np.fromiter(repeated, np.int64, len(repeated)))
    facts = dict(sorted((repeated | prepared.facts(others)).items()))
    for position, fact in facts.items():
        if (rejection := _reject(position, fact, finder, conflicts, drop_both)) is not None:
            rejected[position] = rejection
    written = _write(decisions, prepared, facts, rejected, finder.groups)
    reasons = prepared.reasons + Counter(rejection.reason for rejection in rejected.values())
    return reasons, conflicts.find(), written


def _write(
    path: Path, prepared: Prepared, facts: dict[int, Fact], rejected: dict[int, Rejection], groups: UnionFind
) -> Beside:
    """Writes the documents of these that are dropped, or in the group of another one."""
    with BesideWriter(path, DECISIONS_SCHEMA) as writer:
        for part, rows, positions in prepared.by_part(np.fromiter(facts, np.int64, len(facts))):
            decided = []
            for row, position in zip(rows.tolist(), positions.tolist(), strict=True):
                doc_id = facts[position].doc_id
                group = groups.find(doc_id)
                if position in rejected or group != doc_id:
                    decided.append((row, *rejected.get(position, (None, None)), group))
            writer.write(part, list(zip(*decided, strict=True)))
    return writer.written


def _reject(
    position: int, fact: Fact, finder: DuplicateFinder, conflicts: LabelConflicts, drop_both: bool
) -> Rejection | None:
    """Why a document is dropped; None if it is kept."""
    conflicts.add(fact.digest, fact.doc_id, fact.label)
    other = conflicts.other(fact.digest, fact.label)
    if other is not None and drop_both:
        return Rejection("conflicting_labels", f"same text as {other[0]}, which has the label {other[1]!r}")
    duplicate = finder.add(position, fact.doc_id, bytes.fromhex(fact.digest))
    return None if duplicate is None else _repeated(duplicate, other)


def _repeated(duplicate: Duplicate, other: tuple[str, str] | None) -> Rejection:
    """`other`: a document of the same text under another label, and that label."""
    under = "" if other is None else f"; {other[0]} has this text under the label {other[1]!r}"
    if duplicate.exact:
        return Rejection("exact_duplicate", f"same text as {duplicate.original}, similarity 1.000{under}")
    return Rejection(
        "near_duplicate", f"nearly the text of {duplicate.original}, similarity {duplicate.similarity:.3f}{under}"
    )
