"""Groups of documents that stay together, as units that are assigned to a split, each counted under one label.

A group whose documents have different labels counts under its most frequent one (of equals that of its first text).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.extraction.document import text_bytes
from tasks.splitting.rows import NONE, Ints, Rows

Keys = npt.NDArray[np.uint64]
_LAST = np.iinfo(np.int32).max


@dataclass
class Units:
    """Groups by column, in the order of their names."""

    labels: Ints
    """The number of the label that each counts under, [units]."""
    sizes: npt.NDArray[np.int64]
    """Documents, [units]."""
    keys: Keys
    """Places in a shuffled order, [units, 2]."""
    splits: Ints
    """The number of the split, or NONE as long as there is none, [units]."""
    of: Ints
    """The unit of each document, [documents]."""

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self, chosen: npt.NDArray[np.int64], largest_first: bool) -> npt.NDArray[np.int64]:
        """Units ordered by size, those of one size shuffled."""
        sizes = -self.sizes[chosen] if largest_first else self.sizes[chosen]
        order: npt.NDArray[np.int64] = chosen[np.lexsort((self.keys[chosen, 1], self.keys[chosen, 0], sizes))]
        return order


def units(rows: Rows, seed: int, previous: Ints | None = None, by_text: bool = False) -> Units:
    """The groups of the documents, sorted by name; those with an earlier split (`previous`, per document) keep it.

    With `by_text` they are sorted and shuffled by the digests of their texts, whatever their documents are called.

    A new document can join groups that were in different splits; all then go to the first of these. With train,
    validation, test, no document that an earlier model may have learned from becomes a test document.
    """
    present, of = np.unique(rows.groups.of, return_inverse=True)
    names = rows.groups.names.take(pa.array(present))
    if by_text:
        names, order = _by_text(rows.digests, of, names)
        of = np.argsort(order)[of]
    sizes = np.bincount(of, minlength=len(present))
    splits = np.full(len(present), _LAST, np.int32)
    if previous is not None:
        np.minimum.at(splits, of, np.where(previous == NONE, _LAST, previous))
    splits[splits == _LAST] = NONE
    return Units(_labels(rows, of, sizes), sizes, shuffle_keys(names, seed), splits, of.astype(np.int32))


def _by_text(
    digests: pa.StringArray, of: npt.NDArray[np.int64], groups: pa.StringArray
) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
    """The smallest digest of each group, else its name, sorted; and the groups in that order."""
    columns = pa.table({"of": of, "digest": digests})
    order = columns.sort_by([("of", "ascending"), ("digest", "ascending")])
    first = order["digest"].combine_chunks().take(pa.array(np.unique(order["of"].to_numpy(), return_index=True)[1]))
    names = pc.if_else(pc.equal(first, ""), groups, first)
    by_name = pc.sort_indices(
        pa.table({"name": names, "group": groups}), [("name", "ascending"), ("group", "ascending")]
    )
    return names.take(by_name), by_name.to_numpy().astype(np.int64)


def _labels(rows: Rows, of: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Ints:
    """The label that each group counts under."""
    smallest, largest = np.full(len(sizes), _LAST, np.int32), np.zeros(len(sizes), np.int32)
    np.minimum.at(smallest, of, rows.labels.of)
    np.maximum.at(largest, of, rows.labels.of)
    mixed = np.flatnonzero((smallest != largest)[of])
    mixed = mixed[np.argsort(of[mixed], kind="stable")]
    for members in np.split(mixed, np.flatnonzero(np.diff(of[mixed])) + 1) if len(mixed) else ():
        digests = rows.digests.take(pa.array(members)).to_pylist()
        smallest[of[members[0]]] = majority_label(rows.labels.of[members].tolist(), digests)
    return smallest


def majority_label(labels: Sequence[int], digests: Sequence[str]) -> int:
    """The label that a group of documents counts under."""
    counts = Counter(labels)
    first = dict(sorted(zip(labels, digests, strict=True), key=lambda pair: pair[1], reverse=True))
    return min(counts, key=lambda label: (-counts[label], first[label], label))


def shuffle_keys(names: pa.StringArray, seed: int) -> Keys:
    """Sorting by these keys shuffles names, [names, 2]; a key depends on nothing but the name and the seed."""
    content, ends = text_bytes(names)
    key, keys = seed.to_bytes(8, "little"), bytearray()
    for start, end in pairwise(ends.tolist()):
        keys += hashlib.blake2b(content[start:end], digest_size=16, key=key).digest()
    return np.frombuffer(keys, ">u8").reshape(-1, 2).astype(np.uint64)


def small_labels(rows: Rows, all_units: Units, min_groups: int) -> dict[int, int]:
    """Labels that fewer than `min_groups` groups count under, by number, with that number of groups."""
    groups = np.bincount(all_units.labels, minlength=len(rows.labels.names))
    small = np.flatnonzero((groups < min_groups) & (rows.texts_of_labels() > 0))
    return {int(label): int(groups[label]) for label in small}
