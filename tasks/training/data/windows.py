"""Documents as windows of bounded length, and windows as batches.

A window is `size` tokens, or the whole document if that is shorter; a document's windows cover all of its tokens. So
almost no window needs padding, and none is padded to the longest document.
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
    """Each window's place in the flat ids, and its document; arrays of equal length."""

    starts: Indices
    lengths: Indices
    documents: Indices

    def __len__(self) -> int:
        return len(self.starts)


def count_windows(lengths: Indices, size: int, stride: int, shifts: Indices | int = 0) -> Indices:
    """The number of `sliding_windows` of documents of these lengths, [documents]."""
    last = np.maximum(lengths - size, 0)
    count: Indices = np.where(last > 0, -(-(last + shifts) // stride) + 1, np.minimum(lengths, 1))
    return count


def sliding_windows(offsets: Indices, size: int, stride: int, shifts: Indices | None = None) -> Windows:
    """The windows of all documents, one every `stride` tokens; document i is ids[offsets[i]:offsets[i + 1]].

    With `shifts` [documents], from 0 to below `stride`, a document's first window starts that many tokens before the
    document. A window that would stick out at either end is moved inside, so that it overlaps its neighbour.
    """
    lengths = np.diff(offsets)
    shifts = np.zeros_like(lengths) if shifts is None else shifts
    documents, number = _numbered(count_windows(lengths, size, stride, shifts))
    last = np.maximum(lengths - size, 0)[documents]
    starts = offsets[documents] + np.clip(number * stride - shifts[documents], 0, last)
    return Windows(starts, np.minimum(lengths, size)[documents], documents)


def tiles(offsets: Indices, size: int) -> Windows:
    """Consecutive windows of `size` tokens without overlap, the last of a document shorter: every token once."""
    documents, number = _numbered(-(-np.diff(offsets) // size))
    starts = offsets[documents] + number * size
    return Windows(starts, np.minimum(size, offsets[documents + 1] - starts), documents)


def _numbered(counts: Indices) -> tuple[Indices, Indices]:
    """For documents with `counts` windows each: every window's document, and its number within that document."""
    documents = np.repeat(np.arange(len(counts)), counts)
    return documents, np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)


def batches(windows: Windows, size: int, rng: np.random.Generator | None = None) -> Iterator[Indices]:
    """Positions of windows, at most `size` at a time, grouped by similar length; in random order with `rng`."""
    order = np.arange(len(windows)) if rng is None else rng.permutation(len(windows))
    order = order[np.argsort(windows.lengths[order], kind="stable")]
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    for turn in range(len(groups)) if rng is None else rng.permutation(len(groups)):
        yield groups[turn]


def collate(
    ids: NDArray[Any], windows: Windows, positions: Indices, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Tokens [time, batch] on the device, and lengths [batch] on the CPU, or None if no window is padded."""
    starts, lengths = windows.starts[positions], windows.lengths[positions]
    time = np.arange(lengths.max())[:, None]
    mask = time < lengths
    tokens = torch.from_numpy(np.where(mask, ids[starts + np.minimum(time, lengths - 1)], PAD).astype(np.int64))
    return to_device(tokens, device), None if mask.all() else torch.from_numpy(lengths)
