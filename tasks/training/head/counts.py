"""Counts of what texts consist of: of their tokens, and of the codes of what the reader made of each token.

A text becomes a row of some thousand counts, most of them zero or small.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.training.data.windows import Indices, Windows, batches, gather, tiles
from tasks.training.head.codebook import Codebook
from tasks.training.head.count_store import StoredCounts, slices, stored_counts
from tasks.training.models.language_model import Reader

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.head.progress import Watch

TOKENS_AT_ONCE = 32_768
"""Tokens that are read at once: bounds the memory whatever the window."""


@contextmanager
def count_part(
    reader: Reader,
    codebook: Codebook,
    part: TokenizedDocuments,
    window: int,
    device: torch.device,
    watch: Watch,
    folder: Path,
) -> Iterator[list[StoredCounts]]:
    """Inside: the counts of all texts of a part, a block of tokens and one of codes, in files in `folder`."""
    longest = int(np.diff(part.offsets).max())
    sizes = (reader.architecture.vocabulary_size, len(codebook.centres))
    with stored_counts(folder, sizes[0], longest) as tokens, stored_counts(folder, sizes[1], longest) as codes:
        for chunk in watch.reading(part.chunks()):
            for counts in count_slices(reader, codebook, chunk.ids, chunk.offsets, window, device):
                for block, found in zip((tokens, codes), counts, strict=True):
                    block.append(found)
        yield [tokens, codes]


def count_slices(
    reader: Reader, codebook: Codebook, ids: NDArray[Any], offsets: Indices, window: int, device: torch.device
) -> Iterator[list[NDArray[Any]]]:
    """What `count_all` gives, for so many texts at a time as there is room for."""
    columns = reader.architecture.vocabulary_size + len(codebook.centres)
    for some in slices(len(offsets) - 1, columns):
        bounds = offsets[some.start : some.stop + 1]
        yield count_all(reader, codebook, ids[bounds[0] : bounds[-1]], bounds - bounds[0], window, device)


def count_all(
    reader: Reader, codebook: Codebook, ids: NDArray[Any], offsets: Indices, window: int, device: torch.device
) -> list[NDArray[Any]]:
    """How often each token and each code occurs in each text: [texts, vocabulary] and [texts, codes].

    Text i is ids[offsets[i]:offsets[i + 1]]; the counts are in the smallest integers that can hold them.
    """
    sizes = (reader.architecture.vocabulary_size, len(codebook.centres))
    kind = np.min_scalar_type(int(np.diff(offsets).max()))
    counts = [np.zeros((len(offsets) - 1, size), kind) for size in sizes]
    for places, vectors in read(reader, ids, tiles(offsets, window), device):
        documents = np.searchsorted(offsets, places, side="right") - 1
        for count, found in zip(counts, (ids[places], codebook.codes(vectors).cpu().numpy()), strict=True):
            np.add.at(count, (documents, found), 1)
    return counts


def read(reader: Reader, ids: NDArray[Any], windows: Windows, device: torch.device) -> Iterator[tuple[Indices, Tensor]]:
    """Positions in the flat ids [n], and beside each its states and embedding [n, features] as float32, by batches."""
    at_once = max(1, TOKENS_AT_ONCE // max(1, int(windows.lengths.max(initial=1))))
    was_training = reader.training
    reader.eval()
    with torch.inference_mode():
        for batch in (part for whole in batches(windows, at_once) for part in _powers_of_two(whole)):
            tokens, lengths = gather(ids, windows, batch, device)
            embedded, states = reader.read(tokens, lengths)
            vectors = torch.cat([states, embedded], dim=-1).transpose(0, 1)
            time = np.arange(len(tokens))
            inside = time < windows.lengths[batch][:, None]
            places = (windows.starts[batch][:, None] + time)[inside]
            yield places, vectors[torch.from_numpy(inside).to(device)].float()
    reader.train(was_training)


def _powers_of_two(batch: Indices) -> Iterator[Indices]:
    """Parts of a batch whose sizes are powers of two: oneDNN keeps what it prepared for every size that it meets."""
    while len(batch):
        size = 1 << (len(batch).bit_length() - 1)
        yield batch[:size]
        batch = batch[size:]
