"""Groups of documents that stay together, as units that are assigned to a split, each counted under one label.

A group whose documents have different labels counts under its most frequent one (of equals that of its first text).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.splitting.digests import UNKNOWN, digests_of_names
from tasks.splitting.rows import NONE, Ints, Keys, Rows, Splits, shuffle_keys
from tasks.splitting.schema import SPLITS


@dataclass
class Units:
    """Groups by column."""

    labels: Ints
    """The number of the label that each counts under, [units]."""
    sizes: Ints
    """Documents, [units]."""
    keys: Keys
    """Places in a shuffled order, [units, 2]."""
    splits: Splits
    """NONE as long as there is none, [units]."""
    of: Ints
    """The unit of each document, [documents]."""

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self, chosen: Ints, largest_first: bool) -> Ints:
        """Units ordered by size, those of one size shuffled."""
        sizes = -self.sizes[chosen] if largest_first else self.sizes[chosen]
        order: Ints = chosen[np.lexsort((self.keys[chosen, 1], self.keys[chosen, 0], sizes))]
        return order


def units(rows: Rows, previous: Splits | None = None, by_text: bool = False) -> Units:
    """The groups of the documents, in order; those with an earlier split (`previous`, per document) keep it.

    With `by_text` they are sorted and shuffled by the digests of their texts, whatever their documents are called.

    A new document can join groups that were in different splits; all then go to the first of these. With train,
    validation, test, no document that an earlier model may have learned from becomes a test document.
    """
    of, keys, sizes = rows.groups, rows.keys, np.bincount(rows.groups, minlength=len(rows.keys)).astype(np.int32)
    present = sizes > 0
    if not present.all():
        of = (np.cumsum(present, dtype=np.int32) - 1)[of]
        keys, sizes = keys[present], sizes[present]
    if by_text:
        order, keys = _by_text(rows, of, keys)
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        of, sizes = place[of], sizes[order]
    splits = np.full(len(sizes), NONE, np.int8)
    for number in reversed(range(len(SPLITS))) if previous is not None else ():
        splits[of[previous == number]] = number
    return Units(_labels(rows, of, sizes), sizes, keys, splits, of)


def _by_text(rows: Rows, of: Ints, keys: Keys) -> tuple[npt.NDArray[np.int64], Keys]:
    """The groups in the order of their smallest digests, and keys made of these; without digests, by their names."""
    members = np.lexsort((rows.digests, of))
    first = rows.digests[members[np.unique(of[members], return_index=True)[1]]]
    order = np.argsort(first, kind="stable")
    digits = first[order].tobytes().hex()
    names = pa.array([digits[start : start + 32] for start in range(0, len(digits), 32)], pa.string())
    known = first[order] != UNKNOWN
    return order, np.where(known[:, None], shuffle_keys(digests_of_names(names, rows.seed)), keys[order])


def _labels(rows: Rows, of: Ints, sizes: Ints) -> Ints:
    """The label that each group counts under."""
    found = np.empty(len(sizes), np.int32)
    found[of] = rows.labels.of
    mixed = np.zeros(len(sizes), bool)
    mixed[of[found[of] != rows.labels.of]] = True
    members = np.flatnonzero(mixed[of])
    members = members[np.argsort(of[members], kind="stable")]
    for group in np.split(members, np.flatnonzero(np.diff(of[members])) + 1) if len(members) else ():
        digests = rows.digests[group].tolist()
        found[of[group[0]]] = majority_label(rows.labels.of[group].tolist(), digests)
    return found


def majority_label(labels: Sequence[int], digests: Sequence[bytes]) -> int:
    """The label that a group of documents counts under."""
    counts = Counter(labels)
    first = dict(sorted(zip(labels, digests, strict=True), key=lambda pair: pair[1], reverse=True))
    return min(counts, key=lambda label: (-counts[label], first[label], label))


def small_labels(rows: Rows, all_units: Units, min_groups: int) -> dict[int, int]:
    """Labels that fewer than `min_groups` groups count under, by number, with that number of groups."""
    groups = np.bincount(all_units.labels, minlength=len(rows.labels.names))
    small = np.flatnonzero((groups < min_groups) & (rows.texts_of_labels() > 0))
    return {int(label): int(groups[label]) for label in small}
