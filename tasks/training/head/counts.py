"""Counts of each text's tokens, and of the codes of their states in the language model.

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

from tasks.training.data.windows import Indices, Windows, batches, collate, tiles
from tasks.training.head.codebook import Codebook
from tasks.training.head.count_store import OnDiskCsr, on_disk_csr, row_blocks
from tasks.training.models.language_model import LanguageModel

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.head.progress import HeadProgress

TOKENS_AT_ONCE = 32_768
"""Tokens in a batch: bounds the memory for any window."""


@contextmanager
def count_split(
    reader: LanguageModel,
    codebook: Codebook,
    documents: TokenizedDocuments,
    window: int,
    device: torch.device,
    progress: HeadProgress,
    folder: Path,
) -> Iterator[list[OnDiskCsr]]:
    """The counts of all documents of a split, a block of tokens and a block of codes, in files in `folder`."""
    longest = int(np.diff(documents.offsets).max())
    sizes = (reader.architecture.vocabulary_size, len(codebook.centres))
    with on_disk_csr(folder, sizes[0], longest) as tokens, on_disk_csr(folder, sizes[1], longest) as codes:
        for chunk in progress.reading(documents.chunks()):
            for counts in count_row_blocks(reader, codebook, chunk.ids, chunk.offsets, window, device):
                for block, rows in zip((tokens, codes), counts, strict=True):
                    block.append(rows)
        yield [tokens, codes]


def count_row_blocks(
    reader: LanguageModel, codebook: Codebook, ids: NDArray[Any], offsets: Indices, window: int, device: torch.device
) -> Iterator[list[NDArray[Any]]]:
    """The results of `count_all`, by blocks of rows."""
    columns = reader.architecture.vocabulary_size + len(codebook.centres)
    for rows in row_blocks(len(offsets) - 1, columns):
        bounds = offsets[rows.start : rows.stop + 1]
        yield count_all(reader, codebook, ids[bounds[0] : bounds[-1]], bounds - bounds[0], window, device)


def count_all(
    reader: LanguageModel, codebook: Codebook, ids: NDArray[Any], offsets: Indices, window: int, device: torch.device
) -> list[NDArray[Any]]:
    """How often each token and each code occurs in each text: [texts, vocabulary] and [texts, codes].

    Text i is ids[offsets[i]:offsets[i + 1]]; the counts have the smallest integer type that holds them.
    """
    sizes = (reader.architecture.vocabulary_size, len(codebook.centres))
    kind = np.min_scalar_type(int(np.diff(offsets).max()))
    counts = [np.zeros((len(offsets) - 1, size), kind) for size in sizes]
    for positions, vectors in read(reader, ids, tiles(offsets, window), device):
        documents = np.searchsorted(offsets, positions, side="right") - 1
        for count, columns in zip(counts, (ids[positions], codebook.codes(vectors).cpu().numpy()), strict=True):
            np.add.at(count, (documents, columns), 1)
    return counts


def read(
    reader: LanguageModel, ids: NDArray[Any], windows: Windows, device: torch.device
) -> Iterator[tuple[Indices, Tensor]]:
    """Batches of positions in the flat ids [n], and their states and embeddings [n, features] as float32."""
    at_once = max(1, TOKENS_AT_ONCE // max(1, int(windows.lengths.max(initial=1))))
    was_training = reader.training
    reader.eval()
    with torch.inference_mode():
        for batch in (some for whole in batches(windows, at_once) for some in _powers_of_two(whole)):
            tokens, lengths = collate(ids, windows, batch, device)
            embedded, states = reader.encode(tokens, lengths)
            vectors = torch.cat([states, embedded], dim=-1).transpose(0, 1)
            time = np.arange(len(tokens))
            inside = time < windows.lengths[batch][:, None]
            positions = (windows.starts[batch][:, None] + time)[inside]
            yield positions, vectors[torch.from_numpy(inside).to(device)].float()
    reader.train(was_training)


def _powers_of_two(batch: Indices) -> Iterator[Indices]:
    """Splits a batch into sizes that are powers of two: oneDNN caches what it prepares for every size."""
    while len(batch):
        size = 1 << (len(batch).bit_length() - 1)
        yield batch[:size]
        batch = batch[size:]
