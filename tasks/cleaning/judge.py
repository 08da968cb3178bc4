"""Decides which documents are dropped, by the facts about them: no text is read here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.conflicts import LabelConflicts
from tasks.cleaning.duplicates import Duplicate, DuplicateFinder, shared_buckets
from tasks.cleaning.parts import (
    CANDIDATES_SCHEMA,
    DECISIONS_SCHEMA,
    read_facts,
    read_offsets,
    read_shingles,
    read_signed,
)
from tasks.shared.parts.make import beside_part, folder_of

if TYPE_CHECKING:
    from tasks.cleaning.duplicates import Buckets, Signed
    from tasks.cleaning.schema import Reason
    from tasks.cleaning.settings import CleaningSettings
    from tasks.cleaning.shingles import Hashes
    from tasks.cleaning.union_find import UnionFind
    from tasks.shared.parts.part import Part

Numbers = npt.NDArray[np.int64]
Conflicts = dict[str, dict[str, str]]
"""The documents of each text with more than one label (doc_id → label), by the text's digest."""


class Rejection(NamedTuple):
    """Why a document is dropped."""

    reason: Reason
    detail: str


class Fact(NamedTuple):
    """What decides about a document: the columns of `FACTS_SCHEMA`."""

    doc_id: str
    label: str
    digest: str
    reason: Reason | None
    detail: str | None


class Candidates:
    """The documents of prepared parts that share a band with another one, and their shingles once they are made."""

    def __init__(self, parts: Sequence[Part], prepared: Path, shingled: Path, repeats: bool) -> None:
        """`shingled` is where `shingle_part` makes the shingles.

        `repeats`: whether a text that repeats an earlier one exactly is compared with others, too.
        """
        self._shingled = shingled
        signed = list(_read_compared([folder_of(prepared, part) for part in parts], repeats))
        self.buckets: Buckets = shared_buckets(signed)
        self.parts: list[Part] = []
        """Those with a candidate."""
        positions = np.sort(np.fromiter(self.buckets, np.int64, len(self.buckets)))
        ends = np.cumsum([len(part.has_words) for part in signed], dtype=np.int64)
        self._offsets: dict[int, Numbers] = {}
        self._rows: list[Numbers] = []
        self._places: dict[int, tuple[int, int]] = {}
        for part, first, end in zip(parts, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            own = positions[np.searchsorted(positions, first) : np.searchsorted(positions, end)]
            if len(own):
                long_enough = np.flatnonzero(pc.is_null(read_facts(folder_of(prepared, part))["reason"]))
                self._places |= {position: (len(self.parts), n) for n, position in enumerate(own.tolist())}
                self.parts.append(part)
                self._rows.append(long_enough[own - first])

    def write(self, folder: Path) -> None:
        """Writes the rows of the candidates of each part."""
        folder.mkdir(exist_ok=True)
        for part, rows in zip(self.parts, self._rows, strict=True):
            with pa.ipc.new_stream(beside_part(folder, part), CANDIDATES_SCHEMA) as file:
                file.write_table(pa.table([rows], schema=CANDIDATES_SCHEMA))

    def shingles(self, position: int) -> Hashes:
        """Those of the candidate at this position, read from the parts that `shingle_part` made."""
        number, own = self._places[position]
        folder = folder_of(self._shingled, self.parts[number])
        if number not in self._offsets:
            self._offsets[number] = read_offsets(folder)
        begin, end = self._offsets[number][own : own + 2].tolist()
        return read_shingles(folder, begin, end)


def _read_compared(folders: Sequence[Path], repeats: bool) -> Iterator[Signed]:
    seen = set[str]()
    for folder in folders:
        signed = read_signed(folder)
        if not repeats:
            facts, is_first = read_facts(folder), np.ones(len(signed.has_words), np.bool_)
            for number, digest in enumerate(facts["digest"].filter(pc.is_null(facts["reason"])).to_pylist()):
                is_first[number] = digest not in seen
                seen.add(digest)
            signed = replace(signed, has_words=signed.has_words & is_first)
        yield signed


def judge(
    parts: Sequence[Part], prepared: Path, candidates: Candidates, decisions: Path, settings: CleaningSettings
) -> tuple[Counter[str], Conflicts]:
    """Writes what happens to each document of the prepared parts; returns the reasons, and the conflicting labels.

    With `conflicting_labels: drop_both` the first document of a text is dropped too.
    """
    options, folders = settings.duplicates, [folder_of(prepared, part) for part in parts]
    policies = {"exact": options.exact, "near": options.near}
    finder = DuplicateFinder(candidates.buckets, candidates.shingles, **policies, threshold=options.threshold)
    conflicts, rejected = LabelConflicts(), dict[str, Rejection]()
    drop_both = settings.conflicting_labels == "drop_both"
    if drop_both:
        for fact in _facts(folders):
            if fact.reason is None:
                conflicts.add(fact.digest, fact.doc_id, fact.label)
    for fact in _facts(folders):
        if (rejection := _reject(fact, finder, conflicts, drop_both)) is not None:
            rejected[fact.doc_id] = rejection
    decisions.mkdir(exist_ok=True)
    for part, folder in zip(parts, folders, strict=True):
        _write_decisions(beside_part(decisions, part), read_facts(folder)["doc_id"], rejected, finder.groups)
    return Counter(rejection.reason for rejection in rejected.values()), conflicts.find()


def _write_decisions(
    path: Path, doc_ids: pa.ChunkedArray, rejected: Mapping[str, Rejection], groups: UnionFind
) -> None:
    columns: tuple[list[str | None], ...] = ([], [], [])
    for doc_id in doc_ids.to_pylist():
        for column, value in zip(columns, (*rejected.get(doc_id, (None, None)), groups.find(doc_id)), strict=True):
            column.append(value)
    with pa.ipc.new_stream(path, DECISIONS_SCHEMA) as file:
        file.write_table(pa.table([pa.array(column, pa.string()) for column in columns], schema=DECISIONS_SCHEMA))


def _facts(folders: Sequence[Path]) -> Iterator[Fact]:
    for folder in folders:
        yield from map(Fact, *(column.to_pylist() for column in read_facts(folder).columns))


def _reject(fact: Fact, finder: DuplicateFinder, conflicts: LabelConflicts, drop_both: bool) -> Rejection | None:
    """Why a document is dropped; None if it is kept."""
    if fact.reason is not None:
        return Rejection(fact.reason, fact.detail or "")
    conflicts.add(fact.digest, fact.doc_id, fact.label)
    other = conflicts.other(fact.digest, fact.label)
    if other is not None and drop_both:
        finder.skip()  # it counts the documents
        return Rejection("conflicting_labels", f"same text as {other[0]}, which has the label {other[1]!r}")
    duplicate = finder.add(fact.doc_id, bytes.fromhex(fact.digest))
    return None if duplicate is None else _repeated(duplicate, other)


def _repeated(duplicate: Duplicate, other: tuple[str, str] | None) -> Rejection:
    """`other`: a document of the same text under another label, and that label."""
    under = "" if other is None else f"; {other[0]} has this text under the label {other[1]!r}"
    if duplicate.exact:
        return Rejection("exact_duplicate", f"same text as {duplicate.original}, similarity 1.000{under}")
    return Rejection(
        "near_duplicate", f"nearly the text of {duplicate.original}, similarity {duplicate.similarity:.3f}{under}"
    )
