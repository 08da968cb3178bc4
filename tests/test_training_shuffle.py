"""The batches of an epoch: every window once, in an order that depends on seed and epoch, from a bounded buffer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_texts import LABELS, documents, learn, part_of, small

from tasks.tokenization.store import TokenizedDocuments
from tasks.training.config import identity
from tasks.training.data.shuffle import Batch, ShuffledBatches
from tasks.training.data.windows import sliding_windows
from tasks.training.loop.checkpoint import Checkpoints


def contents(batch: Batch) -> list[tuple[int, tuple[int, ...]]]:
    """Document and tokens of each window of a batch."""
    starts, lengths = batch.windows.starts[batch.positions], batch.windows.lengths[batch.positions]
    texts = zip(batch.windows.documents[batch.positions].tolist(), starts, lengths, strict=True)
    return [(text, tuple(batch.ids[start : start + length].tolist())) for text, start, length in texts]


@given(
    run=st.integers(1, 20),
    batch=st.integers(1, 30),
    buffer=st.integers(1, 800),
    window=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_an_epoch_yields_every_window_once(run: int, batch: int, buffer: int, window: int, seed: int) -> None:
    part = documents(run=run)
    epoch = ShuffledBatches(part, window, batch, buffer, np.random.default_rng(seed))
    drawn = [contents(each) for each in epoch]
    ids = np.concatenate(list(part))
    windows = sliding_windows(part.offsets, window, window, epoch.shifts)
    expected = contents(Batch(ids, windows, np.arange(len(windows))))
    assert Counter(each for some in drawn for each in some) == Counter(expected)
    assert epoch.windows == len(expected)
    assert len(drawn) == epoch.steps
    assert sorted(map(len, drawn))[1:] == [batch] * (epoch.steps - 1)


def test_batches_depend_on_the_seed_alone() -> None:
    def draw(seed: int) -> list[list[tuple[int, tuple[int, ...]]]]:
        return [contents(batch) for batch in ShuffledBatches(documents(run=4), 12, 8, 200, np.random.default_rng(seed))]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def counting_reads(part: TokenizedDocuments) -> tuple[TokenizedDocuments, list[int]]:
    """The documents, and a list to which every read adds its number of tokens."""
    read: list[int] = []

    def counting_read(number: int) -> np.ndarray:
        ids = part.read(number)
        read.append(len(ids))
        return ids

    return replace(part, read=counting_read), read


def test_memory_is_bounded_by_the_buffer_and_one_row_group() -> None:
    part, read = counting_reads(documents(200, run=5))
    yielded, most = 0, 0
    for batch in ShuffledBatches(part, 12, 8, 600, np.random.default_rng(0)):
        most = max(most, sum(read) - yielded)
        yielded += batch.tokens
    assert sum(read) == part.tokens > 10 * most
    assert most < 600 + max(read)


def test_a_buffer_of_a_tenth_mixes_a_corpus_sorted_by_label() -> None:
    mixed = documents(400)
    order, texts = np.argsort(mixed.labels, kind="stable"), list(mixed)
    part = part_of([texts[number] for number in order], mixed.labels[order], "sorted", run=5)
    epoch = ShuffledBatches(part, 12, 32, part.tokens // 10, np.random.default_rng(0))
    labels = [part.labels[batch.windows.documents[batch.positions]] for batch in epoch]
    shares = [np.bincount(some, minlength=len(LABELS)) / len(some) for some in labels]
    assert np.mean([share.min() > 0.1 for share in shares]) > 0.9


@pytest.mark.parametrize("cell", ["mingru", "gru"])
def test_a_resumed_training_on_row_groups_ends_with_the_same_weights(tmp_path: Path, cell: str) -> None:
    settings = small(cell=cell, shuffle_tokens=150)
    training, validation = documents(run=3), documents(seed=1, run=4)

    def checkpointed() -> dict[str, list[float]]:
        checkpoints = Checkpoints(tmp_path, identity(settings, training, validation))
        trained = learn(settings, training, validation, checkpoints=checkpoints)
        return {name: value.tolist() for name, value in trained.weights.items()}

    uninterrupted = checkpointed()
    sorted(tmp_path.iterdir())[-1].unlink()
    assert checkpointed() == uninterrupted


def test_row_groups_of_any_size_are_equivalent() -> None:
    whole, cut_up = documents(), documents(run=3)
    assert identity(small(), whole, whole) == identity(small(), cut_up, cut_up)
    one, other = (learn(small(epochs=1), whole, part).history[0] for part in (whole, cut_up))
    for key in ("validation_loss", "validation_accuracy", "validation_window_accuracy"):
        assert one[key] == pytest.approx(other[key], abs=1e-6)
