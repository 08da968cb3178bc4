"""Assigns groups of documents to splits so that each label has its share in each, as near as whole groups allow.

First a table of how many documents of each label go to each split. Each row is rounded to whole documents, and a label
that can be in every split is missing from none. Among the roundings, one is chosen whose column sums are nearest to the
shares of all documents (controlled rounding: Cox, A constructive procedure for unbiased controlled rounding, 1987; here
by exchanges that improve the totals). Then each group goes to the split that lacks most documents, large groups first.
Groups that have a split already stay there, and the others make up the difference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tasks.splitting.units import Unit

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
_EPSILON = 1e-9


def stratify(units: Sequence[Unit], shares: Mapping[str, float]) -> None:
    """Gives every unit a split; `shares` of the splits sum to 1.

    A label with at least as many units as there are splits is in each of them. Only for this do units that had a split
    move: the smallest ones, from the split that has most of that label.
    """
    splits = list(shares)
    by_label: defaultdict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        by_label[unit.label].append(unit)
    labels = sorted(by_label)
    for label in labels:
        _release(by_label[label], splits)
    placed = np.zeros((len(labels), len(splits)), np.int64)
    for row, label in enumerate(labels):
        for unit in by_label[label]:
            if unit.split is not None:
                placed[row, splits.index(unit.split)] += unit.size
    sizes = np.array([sum(unit.size for unit in by_label[label]) for label in labels], np.int64)
    everywhere = np.array([len(by_label[label]) >= len(splits) for label in labels], bool)
    counts = allocate(sizes, np.array(list(shares.values())), placed, everywhere)
    for row, label in enumerate(labels):
        _place(by_label[label], splits, counts[row] - placed[row])


def allocate(sizes: Counts, shares: Shares, placed: Counts, everywhere: npt.NDArray[np.bool_]) -> Counts:
    """Documents of each label for each split, [labels, splits]: rows sum to `sizes`, nothing is below `placed`.

    Rows marked `everywhere` have at least one document in each column.
    """
    ideal = sizes[:, None] * shares
    minimum = np.maximum(placed, everywhere[:, None].astype(np.int64))
    counts = minimum.copy()
    rounded_down = np.maximum(minimum, np.floor(ideal + _EPSILON).astype(np.int64))
    fits = rounded_down.sum(axis=1) <= sizes
    counts[fits] = rounded_down[fits]  # what the loop would assign first, one by one
    for row in range(len(sizes)):
        for _ in range(sizes[row] - counts[row].sum()):
            counts[row, np.argmax(ideal[row] - counts[row])] += 1
    while _exchange(counts, ideal, minimum):
        pass
    return counts


def _exchange(counts: Counts, ideal: Shares, minimum: Counts) -> bool:
    """Moves a document from a column with too many to one with too few, if a row allows it.

    A row allows it if its count is above its ideal in the first column and below in the second: both stay within one
    document of it. The way may lead over a third column. True if something moved; every move brings the sums nearer.
    """
    surplus = counts - ideal
    gives = (surplus > _EPSILON) & (counts > minimum)
    takes = surplus < -_EPSILON
    gain = np.where(gives[:, :, None] & takes[:, None, :], surplus[:, :, None] - surplus[:, None, :], -np.inf)
    columns = surplus.sum(axis=0)
    best: tuple[float, float, list[tuple[int, int]]] | None = None
    for source, target in np.argwhere(columns[:, None] - columns[None, :] > 1 + _EPSILON):
        for path in _paths(int(source), int(target), len(columns)):
            value = sum(gain[:, start, end].max(initial=-np.inf) for start, end in path)
            step = (float(columns[source] - columns[target]), float(value), path)
            if np.isfinite(value) and (best is None or step[:2] > best[:2]):
                best = step
    if best is None:
        return False
    for start, end in best[2]:
        row = int(np.argmax(gain[:, start, end]))
        counts[row, start] -= 1
        counts[row, end] += 1
    return True


def _paths(source: int, target: int, columns: int) -> list[list[tuple[int, int]]]:
    between = [column for column in range(columns) if column not in (source, target)]
    return [[(source, target)], *([(source, column), (column, target)] for column in between)]


def _release(of_label: Sequence[Unit], splits: Sequence[str]) -> None:
    """Takes units out of splits that have several, until there are enough to put one into each empty split."""
    if len(of_label) < len(splits):
        return
    while True:
        placed = [unit for unit in of_label if unit.split is not None]
        counts = Counter(unit.split for unit in placed)
        missing = len(splits) - len(counts)
        if missing <= len(of_label) - len(placed):
            return
        fullest = max(splits, key=lambda name: counts[name])
        smallest = min((u for u in placed if u.split == fullest), key=lambda unit: (unit.size, unit.shuffle_key))
        smallest.split = None


def _place(of_label: Sequence[Unit], splits: Sequence[str], missing: Counts) -> None:
    """Puts each free unit into the split that lacks most documents, and leaves one for every split that is empty."""
    free = sorted((u for u in of_label if u.split is None), key=lambda unit: (-unit.size, unit.shuffle_key))
    empty = set(range(len(splits))) - {splits.index(unit.split) for unit in of_label if unit.split is not None}
    for position, unit in enumerate(free):
        choice = range(len(splits)) if len(free) - position > len(empty) else sorted(empty)
        column = max(choice, key=lambda index: missing[index])
        unit.split = splits[column]
        missing[column] -= unit.size
        empty.discard(column)
