"""Texts as windows of bounded length, and windows of similar length as batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.shared.statistics.metrics import Ints
from tasks.training.input.evidence import Pairs, Tables
from tasks.training.input.vocabulary import Ids
from tasks.training.runtime.device import to_device

TOKENS_AT_ONCE = 16_384
"""Tokens of a batch in prediction: bounds memory for any window size."""
POOL = 16
"""Batches that are drawn together and sorted by length, when batches are shuffled."""


@dataclass(frozen=True)
class Windows:
    """Windows, with the ids of their tokens and pairs, [tokens] each, and the number of the text of each [windows]."""

    tokens: Sequence[Ids]
    pairs: Sequence[Ids]
    text: Ints

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> Ints:
        """Tokens of each window, [windows]."""
        return np.array([len(ids) for ids in self.tokens], np.int64)

    def select(self, positions: Ints, text: Ints) -> Windows:
        """The windows at these positions, with new numbers of their texts [positions]."""
        chosen = positions.tolist()
        return Windows([self.tokens[at] for at in chosen], [self.pairs[at] for at in chosen], text)


@dataclass(frozen=True)
class Batch:
    """Windows as columns, padded with zeros."""

    tokens: Tensor
    """Ids [time, batch]."""
    evidence: Tensor
    """Of the token, then of the pair that ends there, [time, batch, 2 · dimensions]."""
    lengths: Tensor
    """[batch], on the CPU."""

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(to_device(self.tokens, device), to_device(self.evidence, device), self.lengths)


def windows_per_text(texts: int, windows: int) -> int:
    """How many windows a text has at most, so that `texts` long ones have about `windows`; at least one."""
    return max(1, windows // max(texts, 1))


def cut(texts: Sequence[Ids], pairs: Pairs | None, length: int, per_text: int) -> Windows:
    """The first `per_text` windows of up to `length` tokens of each text; a text's windows are equally long."""
    tokens, of_pairs, owner = [], [], []
    for number, text in enumerate(texts):
        ids = text[: per_text * length]
        ends = ids if pairs is None else pairs.ids(ids)
        bounds = np.linspace(0, len(ids), -(-len(ids) // length) + 1).astype(int)
        for start, stop in pairwise(bounds.tolist()):
            tokens.append(ids[start:stop])
            of_pairs.append(ends[start:stop])
            owner.append(number)
    return Windows(tokens, of_pairs, np.array(owner, np.int64))


def batches_by_length(lengths: Ints, size: int) -> list[Ints]:
    """Positions of windows, `size` at a time, the shortest first."""
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def bounded_batches(lengths: Ints) -> list[Ints]:
    """Positions of windows in batches for prediction, the shortest first."""
    return batches_by_length(lengths, max(1, TOKENS_AT_ONCE // int(lengths.max(initial=1))))


def shuffled_batches(lengths: Ints, size: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Positions of windows in random batches of `size` windows of similar length."""
    order, pool = rng.permutation(len(lengths)), POOL * size
    batches = []
    for start in range(0, len(order), pool):
        some = order[start : start + pool]
        some = some[np.argsort(lengths[some], kind="stable")]
        batches += [some[begin : begin + size] for begin in range(0, len(some), size)]
    return (batches[number] for number in rng.permutation(len(batches)))


def collate(windows: Windows, positions: Ints, tables: Tables, table: Ints) -> Batch:
    """These windows as a batch on the CPU; `table` [positions] is the evidence table that each is read with."""
    chosen = positions.tolist()
    lengths = torch.tensor([len(windows.tokens[position]) for position in chosen])
    tokens = _columns([windows.tokens[position] for position in chosen])
    if not tables.dimensions:
        return Batch(tokens, torch.zeros(*tokens.shape, 0), lengths)
    pairs = _columns([windows.pairs[position] for position in chosen])
    at = torch.from_numpy(np.asarray(table, np.int64))
    found = torch.cat([_rows(tables.tokens, tokens, at), _rows(tables.pairs, pairs, at)], 2)
    return Batch(tokens, found.float(), lengths)


def _rows(evidence: NDArray[np.float16], ids: Tensor, table: Tensor) -> Tensor:
    """Rows of `evidence` [tables, entries, dimensions] for `ids` [time, batch] and `table` [batch]."""
    return torch.from_numpy(evidence).flatten(0, 1)[ids + table * evidence.shape[1]]


def _columns(windows: Sequence[Ids]) -> Tensor:
    padded = np.zeros((max(len(ids) for ids in windows), len(windows)), np.int64)
    for column, ids in enumerate(windows):
        padded[: len(ids), column] = ids
    return torch.from_numpy(padded)
