"""Assigns groups of documents to splits so that each label has its share in each, as near as whole groups allow.

First a table of how many documents of each label go to each split. Each row is rounded to whole documents, and a label
that can be in every split is missing from none. Among the roundings, one is chosen whose column sums are nearest to the
shares of all documents (controlled rounding: Cox, A constructive procedure for unbiased controlled rounding, 1987; here
by exchanges that improve the totals). Then each group goes to the split that lacks most documents, large groups first.
Groups that have a split already stay there, and the others make up the difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.splitting.rows import NONE, Ints
from tasks.splitting.units import Units

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
_EPSILON = 1e-9


def stratify(units: Units, chosen: Ints, shares: Sequence[float]) -> None:
    """Gives the chosen units a split: its number among the `shares`, which sum to 1.

    A label with at least as many units as there are splits is in each of them. Only for this do units that had a split
    move: the smallest ones, from the split that has most of that label.
    """
    splits = len(shares)
    by_label = chosen[np.argsort(units.labels[chosen], kind="stable")]
    of_labels = np.split(by_label, np.flatnonzero(np.diff(units.labels[by_label])) + 1) if len(chosen) else []
    placed = np.zeros((len(of_labels), splits), np.int64)
    for row, of_label in enumerate(of_labels):
        _release(units, of_label, splits)
        kept = of_label[units.splits[of_label] != NONE]
        np.add.at(placed[row], units.splits[kept], units.sizes[kept])
    sizes = np.array([units.sizes[of_label].sum() for of_label in of_labels], np.int64)
    everywhere = np.array([len(of_label) >= splits for of_label in of_labels], bool)
    counts = allocate(sizes, np.array(shares), placed, everywhere)
    for row, of_label in enumerate(of_labels):
        _place(units, of_label, (counts[row] - placed[row]).tolist())


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


def _release(units: Units, of_label: Ints, splits: int) -> None:
    """Takes units out of splits that have several, until there are enough to put one into each empty split."""
    if len(of_label) < splits:
        return
    while True:
        placed = of_label[units.splits[of_label] != NONE]
        counts = np.bincount(units.splits[placed], minlength=splits)
        if np.count_nonzero(counts == 0) <= len(of_label) - len(placed):
            return
        of_fullest = placed[units.splits[placed] == np.argmax(counts)]
        units.splits[units.shuffled(of_fullest, largest_first=False)[0]] = NONE


def _place(units: Units, of_label: Ints, missing: list[int]) -> None:
    """Puts each free unit into the split that lacks most documents, and leaves one for every split that is empty."""
    free = units.shuffled(of_label[units.splits[of_label] == NONE], largest_first=True)
    empty = set(range(len(missing))) - set(units.splits[of_label].tolist())
    columns = []
    for left, size in zip(range(len(free), 0, -1), units.sizes[free].tolist(), strict=True):
        column = missing.index(max(missing)) if left > len(empty) else max(sorted(empty), key=missing.__getitem__)
        columns.append(column)
        missing[column] -= size
        empty.discard(column)
    units.splits[free] = columns
