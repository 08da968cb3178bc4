"""Divides groups of documents into parts so that every label has its share in each, as near as whole groups allow.

First a table of how many documents of each label go to each part: each row is rounded to whole documents, no label
that can be everywhere is missing anywhere, and among the roundings one is taken whose column sums are nearest
to the shares of all documents (controlled rounding: Cox, A constructive procedure for unbiased controlled rounding,
1987; here by exchanges that improve the totals). Then groups are put where most documents are missing, large ones
first. Groups that have a part already stay there, and the others fill up what is missing.
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
    """Gives every unit a part; `shares` of the parts sum to 1.

    A label with as many units as there are parts, or more, is in each of them. For this alone, units that had a part
    move: the smallest ones, from the part that has most of that label.
    """
    parts = list(shares)
    by_label: defaultdict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        by_label[unit.label].append(unit)
    labels = sorted(by_label)
    for label in labels:
        _release(by_label[label], parts)
    placed = np.zeros((len(labels), len(parts)), np.int64)
    for row, label in enumerate(labels):
        for unit in by_label[label]:
            if unit.part is not None:
                placed[row, parts.index(unit.part)] += unit.size
    sizes = np.array([sum(unit.size for unit in by_label[label]) for label in labels], np.int64)
    everywhere = np.array([len(by_label[label]) >= len(parts) for label in labels], bool)
    wanted = table(sizes, np.array(list(shares.values())), placed, everywhere)
    for row, label in enumerate(labels):
        _place(by_label[label], parts, wanted[row] - placed[row])


def table(sizes: Counts, shares: Shares, placed: Counts, everywhere: npt.NDArray[np.bool_]) -> Counts:
    """Documents of each label (rows) for each part (columns): rows sum to `sizes`, and nothing is below `placed`.

    Rows marked `everywhere` have at least one document in each column.
    """
    ideal = sizes[:, None] * shares
    least = np.maximum(placed, everywhere[:, None].astype(np.int64))
    counts = least.copy()
    full = np.maximum(least, np.floor(ideal + _EPSILON).astype(np.int64))
    fits = full.sum(axis=1) <= sizes
    counts[fits] = full[fits]  # as many as the loop would hand out first, one by one
    for row in range(len(sizes)):
        for _ in range(sizes[row] - counts[row].sum()):
            counts[row, np.argmax(ideal[row] - counts[row])] += 1
    while _exchange(counts, ideal, least):
        pass
    return counts


def _exchange(counts: Counts, ideal: Shares, least: Counts) -> bool:
    """Moves a document from a column with too many to one with too few, if a row can bear it.

    A row can when its count there is above its ideal and here below: both stay within one document of it.
    The way may lead over a third column. True if something was moved; every move brings the sums nearer.
    """
    surplus = counts - ideal
    gives = (surplus > _EPSILON) & (counts > least)
    takes = surplus < -_EPSILON
    gain = np.where(gives[:, :, None] & takes[:, None, :], surplus[:, :, None] - surplus[:, None, :], -np.inf)
    columns = surplus.sum(axis=0)
    best: tuple[float, float, list[tuple[int, int]]] | None = None
    for source, target in np.argwhere(columns[:, None] - columns[None, :] > 1 + _EPSILON):
        for path in _paths(int(source), int(target), len(columns)):
            value = sum(gain[:, one, other].max(initial=-np.inf) for one, other in path)
            step = (float(columns[source] - columns[target]), float(value), path)
            if np.isfinite(value) and (best is None or step[:2] > best[:2]):
                best = step
    if best is None:
        return False
    for one, other in best[2]:
        row = int(np.argmax(gain[:, one, other]))
        counts[row, one] -= 1
        counts[row, other] += 1
    return True


def _paths(source: int, target: int, columns: int) -> list[list[tuple[int, int]]]:
    over = [between for between in range(columns) if between not in (source, target)]
    return [[(source, target)], *([(source, between), (between, target)] for between in over)]


def _release(of_label: Sequence[Unit], parts: Sequence[str]) -> None:
    """Takes units from parts that have several until there are enough to put one into each empty part."""
    if len(of_label) < len(parts):
        return
    while True:
        fixed = [unit for unit in of_label if unit.part is not None]
        counts = Counter(unit.part for unit in fixed)
        missing = len(parts) - len(counts)
        if missing <= len(of_label) - len(fixed):
            return
        fullest = max(parts, key=lambda part: counts[part])
        min((unit for unit in fixed if unit.part == fullest), key=lambda unit: (unit.size, unit.order)).part = None


def _place(of_label: Sequence[Unit], parts: Sequence[str], missing: Counts) -> None:
    """Puts each free unit where most documents are missing, yet keeps one for every part that would stay empty."""
    waiting = sorted((unit for unit in of_label if unit.part is None), key=lambda unit: (-unit.size, unit.order))
    empty = set(range(len(parts))) - {parts.index(unit.part) for unit in of_label if unit.part is not None}
    for position, unit in enumerate(waiting):
        choice = range(len(parts)) if len(waiting) - position > len(empty) else sorted(empty)
        column = max(choice, key=lambda part: missing[part])
        unit.part = parts[column]
        missing[column] -= unit.size
        empty.discard(column)
