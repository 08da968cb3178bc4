"""Texts as windows of bounded length, windows as batches, and windows' answers as the text's.

A window is `size` tokens, or the whole text where that is shorter; the windows of a text leave no token out. So
almost no window needs padding, and none is padded to the longest text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.training.runtime.device import to_device
from tasks.vocabulary.tokenizer_file import PAD

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Where windows lie in the flat ids, and the text that each is from; arrays of equal length."""

    starts: Indices
    lengths: Indices
    documents: Indices

    def __len__(self) -> int:
        return len(self.starts)


def count_windows(lengths: Indices, size: int, stride: int, shifts: Indices | int = 0) -> Indices:
    """How many windows `cut` makes of texts of these lengths, [texts]."""
    last = np.maximum(lengths - size, 0)
    count: Indices = np.where(last > 0, -(-(last + shifts) // stride) + 1, np.minimum(lengths, 1))
    return count


def cut(offsets: Indices, size: int, stride: int, shifts: Indices | None = None) -> Windows:
    """The windows of all texts; text i is ids[offsets[i]:offsets[i + 1]].

    A grid with a window every `stride` tokens; with `shifts` [texts], from 0 to below `stride`, every text's grid
    begins so many tokens before the text. A window that sticks out at either end of the text is pushed back in, so
    that it overlaps its neighbour.
    """
    lengths = np.diff(offsets)
    shifts = np.zeros_like(lengths) if shifts is None else shifts
    counts = count_windows(lengths, size, stride, shifts)
    documents = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)
    last = np.maximum(lengths - size, 0)[documents]
    starts = offsets[documents] + np.clip(number * stride - shifts[documents], 0, last)
    return Windows(starts, np.minimum(lengths, size)[documents], documents)


def tiles(offsets: Indices, size: int) -> Windows:
    """Windows of `size` tokens one after another, the last of a text as long as what is left: every token once."""
    counts = -(-np.diff(offsets) // size)
    documents = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = offsets[documents] + number * size
    return Windows(starts, np.minimum(size, offsets[documents + 1] - starts), documents)


def batches(windows: Windows, size: int, rng: np.random.Generator | None = None) -> Iterator[Indices]:
    """Positions of windows, at most `size` at a time, windows of like length together; in random order with `rng`."""
    order = np.arange(len(windows)) if rng is None else rng.permutation(len(windows))
    order = order[np.argsort(windows.lengths[order], kind="stable")]
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    turns = range(len(groups)) if rng is None else rng.permutation(len(groups))
    for turn in turns:
        yield groups[turn]


def gather(ids: NDArray[Any], windows: Windows, batch: Indices, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Tokens [time, batch] on the device, and lengths [batch] on the CPU, None where no window is padded."""
    starts, lengths = windows.starts[batch], windows.lengths[batch]
    time = np.arange(lengths.max())[:, None]
    inside = time < lengths
    tokens = torch.from_numpy(np.where(inside, ids[starts + np.minimum(time, lengths - 1)], PAD).astype(np.int64))
    padded = None if inside.all() else torch.from_numpy(lengths)
    return to_device(tokens, device), padded


def pool_documents(
    window_log_probabilities: NDArray[np.float64], documents: Indices, count: int
) -> NDArray[np.float64]:
    """A text's log-probabilities [count, labels]: the mean of its windows' [windows, labels], normalised to sum to one.

    The geometric mean of the windows' probabilities: each window is an opinion on the same question, and a long text
    is not surer than a short one. Every text needs at least one window.
    """
    sums = np.zeros((count, window_log_probabilities.shape[1]))
    np.add.at(sums, documents, window_log_probabilities)
    means = sums / np.bincount(documents, minlength=count)[:, None]
    highest = means.max(axis=1, keepdims=True)
    normalised: NDArray[np.float64] = means - highest - np.log(np.exp(means - highest).sum(axis=1, keepdims=True))
    return normalised
