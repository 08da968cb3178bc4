"""Document frequencies of tokens and pairs, by label and fold; some million entries of texts in memory at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.shared.statistics.metrics import Ints
from tasks.training.input.vocabulary import Ids

Floats32 = NDArray[np.float32]
BLOCK = 2**22
"""Distinct entries of texts that are counted at a time, about."""


@dataclass(frozen=True)
class Counts:
    """Document frequencies by fold."""

    entries: Sequence[csr_array]
    """Of each fold: texts with an entry and a label, [entries, labels]."""
    texts: Floats32
    """Texts with a label, [folds, labels]."""

    def without(self, folds: Collection[int]) -> tuple[csr_array, Floats32]:
        """The sums over the other folds: [entries, labels] and [labels]; zeros if there are none."""
        others = [number for number in range(len(self.entries)) if number not in folds]
        total = csr_array(self.entries[0].shape, dtype=np.float32)
        for number in others:
            total = total + self.entries[number]
        return csr_array(total), np.asarray(self.texts[others].sum(axis=0), np.float32)


def count(texts: Iterable[Ids], entries: int, labels: Ints, label_count: int, folds: Ints) -> Counts:
    """Document frequencies, from the entries, the label and the fold of each text; entry 0 does not count."""
    number, shape = int(folds.max()) + 1, (entries, label_count)
    counted = [csr_array(shape, dtype=np.float32) for _ in range(number)]
    for entry, text in _distinct(texts):
        for index in range(number):
            here = folds[text] == index
            ones = np.ones(int(here.sum()), np.float32)
            counted[index] = csr_array(counted[index] + csr_array((ones, (entry[here], labels[text[here]])), shape))
    of_labels = np.stack([np.bincount(labels[folds == index], minlength=label_count) for index in range(number)])
    return Counts(counted, of_labels.astype(np.float32))


def _distinct(texts: Iterable[Ids]) -> Iterator[tuple[Ids, Ints]]:
    """The distinct entries, but 0, of some texts at a time, and the number of the text of each, both [entries]."""
    found: list[Ids] = []
    size = first = 0
    for ids in texts:
        distinct = np.unique(ids)
        found.append(distinct[distinct > 0])
        size += len(found[-1])
        if size >= BLOCK:
            yield _join(found, first)
            first += len(found)
            found, size = [], 0
    if found:
        yield _join(found, first)


def _join(found: Sequence[Ids], first: int) -> tuple[Ids, Ints]:
    return np.concatenate(found), np.repeat(np.arange(first, first + len(found)), [len(ids) for ids in found])
