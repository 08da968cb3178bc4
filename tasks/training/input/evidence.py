"""Label evidence of tokens and of pairs of neighbouring tokens: what each says about each label.

The evidence of an entry w (a token or a pair) for the label k compares df(w, k), the number of texts with that label
that contain it, with the number expected if labels did not matter, e(w, k) = df(w) · share of k among the texts:

    log((df(w, k) + c) / (e(w, k) + c)),  clipped to ±4, then halved

The pseudo-count c shrinks evidence that rests on few expected texts towards zero. A smoothing in proportion to the
label's share would let every word of a rare label's few texts speak for that label (docs/experiments.md).

Cross-fitting: a training text must be read with tables that its own label is not part of, or the network learns to
read off its answers; see `Evidence.for_network`.

Memory: tables are float16 [folds, entries, dimensions]. If there are more labels than `dimensions`, the evidence is
projected onto that many principal axes. With 2,000 labels, 30,000 tokens, 300,000 pairs and 64 dimensions the tables of
five folds take 211 MB, one in a saved model 42 MB. Dense evidence exists for one block of entries at a time (64 MB).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.shared.statistics.metrics import Ints
from tasks.training.input.counting import Counts, Floats32, count
from tasks.training.input.vocabulary import Ids

BOUND, SCALE = 4.0, 0.5
BLOCK = 2**24
"""Values of a block of dense evidence."""


@dataclass(frozen=True)
class Pairs:
    """The known pairs of neighbours: a key is left id · `tokens` + right id; a pair's id begins at 1, 0 is none."""

    keys: Ints
    """Sorted, [pairs]."""
    tokens: int

    def ids(self, ids: Ids) -> Ids:
        """The id of the pair that ends at each token of a text, [tokens]; 0 at the first one and for unknown pairs."""
        found = np.zeros(len(ids), np.int32)
        if len(self.keys) and len(ids) > 1:
            wanted = _keys(ids, self.tokens)
            at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            found[1:] = np.where(self.keys[at] == wanted, at + 1, 0)
        return found


def learn_pairs(texts: Sequence[Ids], tokens: int, max_pairs: int) -> Pairs:
    """The pairs in two or more texts, at most `max_pairs`, the most frequent ones; `tokens` is the number of ids."""
    keys, end = np.empty(sum(max(0, len(ids) - 1) for ids in texts), np.int64), 0
    for ids in texts:
        own = np.unique(_keys(ids, tokens))
        keys[end : end + len(own)] = own
        end += len(own)
    keys = keys[:end]
    keys.sort()
    keys = keys[1:][keys[1:] == keys[:-1]]  # a pair in n texts, n - 1 times
    found, times = np.unique(keys, return_counts=True)
    kept = np.sort(np.argsort(-times, kind="stable")[:max_pairs])
    return Pairs(found[kept], tokens)


def _keys(ids: Ids, tokens: int) -> Ints:
    return ids[:-1].astype(np.int64) * tokens + ids[1:]


@dataclass(frozen=True)
class Tables:
    """Evidence of tokens and pairs, [tables, entries, dimensions], and the axes [labels, dimensions] if projected."""

    tokens: NDArray[np.float16]
    pairs: NDArray[np.float16]
    axes: Floats32 | None

    @property
    def dimensions(self) -> int:
        """Values per entry."""
        return int(self.tokens.shape[2])


NO_EVIDENCE = Tables(np.zeros((1, 0, 0), np.float16), np.zeros((1, 0, 0), np.float16), None)
"""For a network that reads embeddings alone."""


@dataclass(frozen=True)
class Evidence:
    """What tables are computed from."""

    tokens: Counts
    pairs: Counts
    axes: Floats32 | None
    pseudo_count: float

    def for_new_texts(self) -> Tables:
        """One table, from all texts."""
        return self._tables([()])

    def for_network(self, held_out: int) -> Tables:
        """A table per fold, for the network that learns from all folds but `held_out`; made without both folds.

        A training text's table must not count the held-out texts. If it did, the embedding of a rare word could learn
        whether the two texts that contain it agree, and so tell the held-out text's label from the other's:
        out-of-fold predictions would look far better than predictions of new texts are.
        """
        return self._tables([(held_out, fold) for fold in range(len(self.tokens.entries))])

    def _tables(self, left_out: Sequence[Collection[int]]) -> Tables:
        of_tokens, of_pairs = (
            make_tables(counts, self.axes, left_out, self.pseudo_count) for counts in (self.tokens, self.pairs)
        )
        return Tables(of_tokens, of_pairs, self.axes)


def learn_evidence(
    texts: Sequence[Ids],
    pairs: Pairs,
    labels: Ints,
    label_count: int,
    folds: Ints,
    pseudo_count: float,
    dimensions: int,
) -> Evidence:
    """Counts the texts, from the ids, the label and the fold of each."""
    of_tokens, of_pairs = count_evidence(texts, pairs, labels, label_count, folds)
    return Evidence(of_tokens, of_pairs, principal_axes(of_tokens, pseudo_count, dimensions), pseudo_count)


def count_evidence(
    texts: Sequence[Ids], pairs: Pairs, labels: Ints, label_count: int, folds: Ints
) -> tuple[Counts, Counts]:
    """The document frequencies of tokens, and of pairs."""
    of_tokens = count(texts, pairs.tokens, labels, label_count, folds)
    return of_tokens, count((pairs.ids(ids) for ids in texts), len(pairs.keys) + 1, labels, label_count, folds)


def evidence(counts: csr_array, texts: Floats32, pseudo_count: float) -> Iterator[tuple[slice, Floats32]]:
    """Blocks of entries with their evidence [entries, labels], from counts [entries, labels] and texts [labels]."""
    shares, c = texts / max(float(texts.sum()), 1.0), np.float32(pseudo_count)
    size = max(1, BLOCK // len(shares))
    for start in range(0, counts.shape[0], size):
        block = slice(start, min(start + size, counts.shape[0]))
        seen = counts[block].toarray()
        expected = seen.sum(axis=1, keepdims=True) * shares
        yield block, np.clip(np.log((seen + c) / (expected + c)), -BOUND, BOUND) * np.float32(SCALE)


def principal_axes(counts: Counts, pseudo_count: float, dimensions: int) -> Floats32 | None:
    """The axes [labels, dimensions] that the evidence is projected onto; None for `dimensions` labels or fewer."""
    total, texts = counts.without(())
    if len(texts) <= dimensions:
        return None
    squares = np.zeros((len(texts), len(texts)), np.float32)
    for _, values in evidence(total, texts, pseudo_count):
        squares += values.T @ values
    axes = np.linalg.eigh(squares)[1][:, ::-1][:, :dimensions]
    return np.ascontiguousarray(axes, np.float32)


def make_tables(
    counts: Counts, axes: Floats32 | None, left_out: Sequence[Collection[int]], pseudo_count: float
) -> NDArray[np.float16]:
    """Evidence [tables, entries, dimensions], each table made without the folds that are `left_out`."""
    entries, labels = counts.entries[0].shape
    made = np.empty((len(left_out), entries, labels if axes is None else axes.shape[1]), np.float16)
    for table, folds in zip(made, left_out, strict=True):
        for block, values in evidence(*counts.without(folds), pseudo_count):
            table[block] = values if axes is None else values @ axes
    return made
