"""The batches of an epoch, drawn from a buffer of windows, so that memory does not grow with the corpus.

The chunks of the training part come in random order, and their windows, cut at random offsets, fill the buffer. When it
is full, a random half of its batches goes out; at the end, all of them. A corpus that fits into the buffer is shuffled
whole. A larger one may well be sorted by label: its chunks are small beside the buffer, and what is left in it from
before mixes with what comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.training.data.windows import Indices, Windows, batches, count_windows, cut

if TYPE_CHECKING:
    from tasks.tokenization.store import Chunk, TokenizedDocuments


@dataclass(frozen=True)
class Batch:
    """The windows of one step: those at the positions `chosen` of `windows`, which lie in the flat `ids`."""

    ids: NDArray[Any]
    windows: Windows
    chosen: Indices

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def tokens(self) -> int:
        """Tokens of the windows, padding not counted."""
        return int(self.windows.lengths[self.chosen].sum())


class Epoch:
    """A fresh cut of the training part; iterating gives each of its windows once, in batches of like length.

    All that is random comes from `rng`, in an order of its own: the batches are the same whoever asks for them, and
    whatever is done with them. To be iterated once.
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
        held: list[tuple[NDArray[Any], Windows]] = []
        for chunk in self.documents.chunks(self.rng.permutation(len(self.documents.bounds) - 1)):
            held.append((chunk.ids, self._cut(chunk)))
            if sum(len(ids) for ids, _ in held) >= self.buffer_tokens:
                ids, windows = _join(held)
                held.clear()
                groups = list(batches(windows, self.batch_size, self.rng))
                whole = [number for number, group in enumerate(groups) if len(group) == self.batch_size]
                going = set(whole[: -(-len(whole) // 2)])
                yield from (Batch(ids, windows, groups[number]) for number in sorted(going))
                staying = [group for number, group in enumerate(groups) if number not in going]
                held.append(_keep(ids, windows, np.concatenate([np.empty(0, np.int64), *staying])))
        if held:
            ids, windows = _join(held)
            yield from (Batch(ids, windows, group) for group in batches(windows, self.batch_size, self.rng))

    def _cut(self, chunk: Chunk) -> Windows:
        """The windows of a chunk; their documents as positions in the part."""
        shifts = self.shifts[chunk.first : chunk.first + len(chunk.offsets) - 1]
        windows = cut(chunk.offsets, self.window, self.window, shifts)
        return Windows(windows.starts, windows.lengths, windows.documents + chunk.first)


def _join(held: list[tuple[NDArray[Any], Windows]]) -> tuple[NDArray[Any], Windows]:
    """One array of ids, one after another, and the windows of all in it."""
    before = np.cumsum([0, *(len(ids) for ids, _ in held)])
    starts = [windows.starts + begin for (_, windows), begin in zip(held, before, strict=False)]
    return np.concatenate([ids for ids, _ in held]), Windows(
        np.concatenate(starts),
        np.concatenate([windows.lengths for _, windows in held]),
        np.concatenate([windows.documents for _, windows in held]),
    )


def _keep(ids: NDArray[Any], windows: Windows, staying: Indices) -> tuple[NDArray[Any], Windows]:
    """These windows alone, and the tokens of these alone."""
    starts, lengths = windows.starts[staying], windows.lengths[staying]
    pieces = [ids[begin : begin + length] for begin, length in zip(starts.tolist(), lengths.tolist(), strict=True)]
    kept = np.concatenate([ids[:0], *pieces])
    return kept, Windows(np.cumsum(lengths) - lengths, lengths, windows.documents[staying])
