"""The batches of an epoch, drawn from a buffer of windows, so that memory does not grow with the corpus.

The training split's row groups come in random order, and their windows, cut at random offsets, fill the buffer. A full
buffer hands out a random half of its batches; at the end it hands out all. A corpus that fits into the buffer is
shuffled completely. A larger one may even be sorted by label: its row groups are small compared to the buffer, whose
earlier contents mix with the new ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.training.data.windows import Indices, Windows, batches, count_windows, sliding_windows

if TYPE_CHECKING:
    from tasks.tokenization.store import Chunk, TokenizedDocuments


@dataclass(frozen=True)
class Batch:
    """The windows of one step: those at `positions` of `windows`, whose tokens are in the flat `ids`."""

    ids: NDArray[Any]
    windows: Windows
    positions: Indices

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def tokens(self) -> int:
        """Tokens of the windows, padding excluded."""
        return int(self.windows.lengths[self.positions].sum())


class ShuffledBatches:
    """One epoch: a fresh cut of the training split into windows, each yielded once, in batches of similar length.

    All randomness comes from `rng`, in a fixed order, so that the batches do not depend on the consumer. Can be
    iterated once.
    """

    def __init__(
        self,
        documents: TokenizedDocuments,
        window: int,
        batch_size: int,
        buffer_tokens: int,
        rng: np.random.Generator,
    ) -> None:
        self.documents, self.window, self.batch_size = documents, window, batch_size
        self.buffer_tokens, self.rng = buffer_tokens, rng
        self.shifts = rng.integers(window, size=len(documents))
        self.windows = int(count_windows(np.diff(documents.offsets), window, window, self.shifts).sum())
        self.steps = -(-self.windows // batch_size)

    def __iter__(self) -> Iterator[Batch]:
        buffer: list[tuple[NDArray[Any], Windows]] = []
        for chunk in self.documents.chunks(self.rng.permutation(len(self.documents.bounds) - 1)):
            buffer.append((chunk.ids, self._windows_of(chunk)))
            if sum(len(ids) for ids, _ in buffer) >= self.buffer_tokens:
                ids, windows = _concatenate(buffer)
                buffer.clear()
                groups = list(batches(windows, self.batch_size, self.rng))
                full = [number for number, group in enumerate(groups) if len(group) == self.batch_size]
                leaving = set(full[: -(-len(full) // 2)])
                yield from (Batch(ids, windows, groups[number]) for number in sorted(leaving))
                staying = [group for number, group in enumerate(groups) if number not in leaving]
                buffer.append(_select(ids, windows, np.concatenate([np.empty(0, np.int64), *staying])))
        if buffer:
            ids, windows = _concatenate(buffer)
            yield from (Batch(ids, windows, group) for group in batches(windows, self.batch_size, self.rng))

    def _windows_of(self, chunk: Chunk) -> Windows:
        """The windows of a row group; `documents` are positions in the split."""
        shifts = self.shifts[chunk.first : chunk.first + len(chunk.offsets) - 1]
        windows = sliding_windows(chunk.offsets, self.window, self.window, shifts)
        return Windows(windows.starts, windows.lengths, windows.documents + chunk.first)


def _concatenate(buffer: list[tuple[NDArray[Any], Windows]]) -> tuple[NDArray[Any], Windows]:
    """All ids as one array, and all windows with their places in it."""
    begins = np.cumsum([0, *(len(ids) for ids, _ in buffer)])
    starts = [windows.starts + begin for (_, windows), begin in zip(buffer, begins, strict=False)]
    return np.concatenate([ids for ids, _ in buffer]), Windows(
        np.concatenate(starts),
        np.concatenate([windows.lengths for _, windows in buffer]),
        np.concatenate([windows.documents for _, windows in buffer]),
    )


def _select(ids: NDArray[Any], windows: Windows, positions: Indices) -> tuple[NDArray[Any], Windows]:
    """Only the windows at these positions, and only their tokens."""
    starts, lengths = windows.starts[positions], windows.lengths[positions]
    pieces = [ids[begin : begin + length] for begin, length in zip(starts.tolist(), lengths.tolist(), strict=True)]
    selected = np.concatenate([ids[:0], *pieces])
    return selected, Windows(np.cumsum(lengths) - lengths, lengths, windows.documents[positions])
