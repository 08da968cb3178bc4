"""Counts of texts on disk, and the head fitted to them by blocks of rows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from training_texts import VOCABULARY, documents, small

from tasks.shared.errors import TrainingError
from tasks.training import preflight
from tasks.training.head import count_store
from tasks.training.head import head as head_module
from tasks.training.head.codebook import Codebook, fit_codebook
from tasks.training.head.count_store import Concatenated, mean_row_size, on_disk_csr, row_blocks
from tasks.training.head.counts import count_all, count_row_blocks, count_split
from tasks.training.head.features import PRIOR, Features, Scaling
from tasks.training.head.fit import CODES_SHARES
from tasks.training.head.head import HeadConfig, fit_head, fit_heads, fit_scaling, log_softmax
from tasks.training.head.progress import HeadProgress
from tasks.training.models.language_model import LanguageModel, LanguageModelArchitecture
from tasks.training.models.recurrent import Noise
from tasks.training.preflight import HEAD_PHASE, check_memory, head_bytes, reading_bytes, run_preflight

CPU = torch.device("cpu")


def model_and_codebook() -> tuple[LanguageModel, Codebook]:
    """An untrained language model, and a codebook of random states."""
    torch.manual_seed(0)
    reader = LanguageModel(LanguageModelArchitecture(VOCABULARY, "mingru", 6, 5, 1, True), Noise())
    return reader, fit_codebook(torch.randn(200, 16), 9, torch.Generator().manual_seed(0))


def counted(texts: int, columns: int, labels: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts [texts, columns] that differ between labels, and class ids."""
    rng = np.random.default_rng(seed)
    own = rng.permutation(np.arange(texts) % labels)
    return rng.poisson(rng.gamma(1.0, 1.0, (labels, columns))[own]), own


def scaling_in_memory(counts: NDArray[np.int64], labels: NDArray[np.int64]) -> Scaling:
    """The scaling computed with all texts in memory."""
    prior = counts.sum(axis=0) / max(counts.sum(), 1)
    roots = np.sqrt((counts + PRIOR * prior) / (counts.sum(axis=1, keepdims=True) + PRIOR))
    mean, deviation = roots.mean(axis=0), roots.std(axis=0)
    weight = np.where(deviation > 1e-9, np.maximum(deviation, 1e-9) ** -0.75, 0)
    groups = [roots[labels == label] for label in np.unique(labels)]
    if 1 < len(groups) < len(labels):
        means = [group.mean(axis=0) for group in groups]
        between = sum(len(g) * (m - mean) ** 2 for g, m in zip(groups, means, strict=True)) / (len(groups) - 1)
        within = sum(((g - m) ** 2).sum(axis=0) for g, m in zip(groups, means, strict=True))
        within = within / (len(labels) - len(groups))
        kept = np.where(between > 1e-25, np.clip(1 - within / np.maximum(between, 1e-25), 0, 1), 0)
        kept[kept < 1e-9] = 0  # F is 1 except for rounding
        weight = weight * (kept if kept.any() else 1)
    norm = np.sqrt((((roots - mean) * weight) ** 2).sum(axis=1).mean())
    return Scaling(prior, mean, weight / norm if norm > 0 else weight)


def dense(scaling: Scaling, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The features as a dense array."""
    shares = (counts + PRIOR * scaling.prior) / (counts.sum(axis=1, keepdims=True) + PRIOR)
    return (np.sqrt(shares) - scaling.mean) * scaling.weight


@given(
    seed=st.integers(0, 99), filled=st.sampled_from([0.0, 0.05, 0.5, 1.0]), texts=st.integers(0, 7), n=st.integers(1, 3)
)
def test_products_with_features_equal_those_of_dense_ones(seed: int, filled: float, texts: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(0, 9, (texts, width)) * (rng.random((texts, width)) < filled) for width in (30, 5)]
    scalings = [Scaling(rng.dirichlet(np.ones(width)), rng.random(width), rng.random(width)) for width in (30, 5)]
    expected = np.concatenate([dense(*one) for one in zip(scalings, blocks, strict=True)], axis=1)
    features = Features(scalings, blocks, slice(0, texts))
    weights, values = rng.normal(size=(35, n)), rng.normal(size=(texts, n))
    np.testing.assert_allclose(features.times(weights), expected @ weights, atol=1e-4)
    np.testing.assert_allclose(features.transposed_times(values), expected.T @ values, atol=1e-4)


@given(
    counts=arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 6)), elements=st.integers(0, 9)),
    labels=st.integers(1, 3),
    at_once=st.integers(1, 9),
)
def test_a_scaling_fitted_by_row_blocks_equals_that_of_all_texts_at_once(
    counts: NDArray[np.int64], labels: int, at_once: int
) -> None:
    own = np.arange(len(counts)) % labels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(count_store, "ROW_BLOCK_BYTES", 8 * counts.shape[1] * at_once)
        found = fit_scaling(counts, own, 0.75)
    expected = scaling_in_memory(counts, own)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.prior, expected.prior, rtol=1e-12)
    np.testing.assert_allclose(found.weight, expected.weight, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("labels", "power"), [(2, 0.0), (2, 1.0), (5, 0.0), (5, 1.0)])
@pytest.mark.parametrize("columns", [12, 90])
def test_the_regression_equals_scikit_learns(
    monkeypatch: pytest.MonkeyPatch, labels: int, power: float, columns: int
) -> None:
    """With two labels scikit-learn fits the weights of one, whose squared norm is half as large: C doubles."""
    monkeypatch.setattr(count_store, "ROW_BLOCK_BYTES", 8 * columns * 7)
    (seen, own), (asked, _) = (counted(61, columns, labels, seed) for seed in (0, 1))
    head = fit_head([seen], (1,), own, labels, inverse_regularization=5.0, class_weight_power=power)
    weights = np.bincount(own) ** -power
    weights *= len(own) / (weights * np.bincount(own)).sum()
    inverse_regularization = 10.0 if labels == 2 else 5.0
    expected = LogisticRegression(
        C=inverse_regularization, class_weight=dict(enumerate(weights)), tol=1e-8, max_iter=10_000
    )
    expected.fit(dense(head.scalings[0], seen), own)
    answers = np.exp(log_softmax(head.logits([asked])))
    np.testing.assert_allclose(answers, expected.predict_proba(dense(head.scalings[0], asked)), atol=3e-4)


def test_heads_fitted_together_equal_those_fitted_alone() -> None:
    (tokens, own), (codes, _) = counted(60, 30, 3), counted(60, 12, 3, seed=4)
    configs = [HeadConfig((1, share), C) for share, C in ((0.0, 5.0), (0.3, 5.0), (1.0, 20.0))]
    together = list(fit_heads([tokens, codes], configs, own, 3, 1.0))
    again = fit_heads([tokens, codes], configs, own, 3, 1.0)
    for head, same, config in zip(together, again, configs, strict=True):
        alone = fit_head([tokens, codes], config.shares, own, 3, config.inverse_regularization, 1.0)
        answers = [np.exp(log_softmax(one.logits([tokens, codes]))) for one in (head, alone)]
        np.testing.assert_allclose(*answers, atol=5e-4)
        np.testing.assert_array_equal(head.weights, same.weights)
    np.testing.assert_array_equal(together[0].weights[:, 30:], 0)


@given(
    rows=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    most=st.sampled_from([1, 255, 256, 65_535, 65_536]),
    begin=st.integers(0, 25),
    length=st.integers(0, 25),
)
def test_counts_on_disk_are_read_like_an_array(rows: list[int], most: int, begin: int, length: int) -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, most, (count, 3), endpoint=True) for count in rows]
    with on_disk_csr(Path(gettempdir()), 3, most) as found:
        for piece in pieces:
            found.append(piece)
        whole, some = np.concatenate(pieces), slice(begin, begin + length)
        assert found.shape == whole.shape
        np.testing.assert_array_equal(found[some].toarray(), whole[some])
        assert found[some].dtype.itemsize == {1: 1, 255: 1, 256: 2, 65_535: 2, 65_536: 4}[most]


@given(sizes=st.tuples(st.integers(0, 4), st.integers(0, 4)), begin=st.integers(0, 9), length=st.integers(0, 9))
def test_concatenated_counts_are_read_like_one_array(sizes: tuple[int, int], begin: int, length: int) -> None:
    pieces = [np.arange(3 * size).reshape(size, 3) + 250 * number for number, size in enumerate(sizes)]
    folder = Path(gettempdir())
    with on_disk_csr(folder, 3, 255) as first, on_disk_csr(folder, 3, 300) as second:
        for part, piece in zip((first, second), pieces, strict=True):
            part.append(piece)
        whole, some = np.concatenate(pieces), slice(begin, begin + length)
        found = Concatenated(first, second)
        assert found.shape == whole.shape
        np.testing.assert_array_equal(found[some].toarray(), whole[some])


def test_counting_a_split_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_store, "ROW_BLOCK_BYTES", 8 * (VOCABULARY + 9) * 2)
    reader, codebook = model_and_codebook()
    part = documents(run=5)
    with (
        pytest.raises(KeyboardInterrupt),
        count_split(reader, codebook, part, 12, CPU, HeadProgress(part.tokens), tmp_path) as blocks,
    ):
        assert list(tmp_path.iterdir()) == []  # nor does a process that is killed here leave any
        expected = count_all(reader, codebook, np.concatenate(list(part)), part.offsets, 12, CPU)
        for block, counts in zip(blocks, expected, strict=True):
            np.testing.assert_array_equal(block[0 : len(part)].toarray(), counts)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_texts_are_counted_by_row_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, codebook = model_and_codebook()
    texts = [np.full(300, 7), np.arange(2, 9), np.array([5])]
    flat, offsets = np.concatenate(texts), np.cumsum([0, *map(len, texts)])
    expected = count_all(reader, codebook, flat, offsets, 12, CPU)
    assert expected[0][0, 7] == 300
    monkeypatch.setattr(count_store, "ROW_BLOCK_BYTES", 1)  # a block has at least one text
    found = list(count_row_blocks(reader, codebook, flat, offsets, 12, CPU))
    assert [len(tokens) for tokens, _ in found] == [1, 1, 1]
    for block, pieces in zip(expected, zip(*found, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), block)


def test_batches_have_few_different_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN caches what it prepares for each size: with arbitrary sizes, memory grew with the number of texts."""
    reader, codebook = model_and_codebook()
    sizes: list[int] = []
    encode = reader.encode
    monkeypatch.setattr(reader, "encode", lambda ids, lengths: (sizes.append(ids.shape[1]), encode(ids, lengths))[1])
    for texts in range(1, 40):
        count_all(reader, codebook, np.full(12 * texts, 3), np.arange(0, 12 * texts + 1, 12), 12, CPU)
    assert sorted(set(sizes)) == [1, 2, 4, 8, 16, 32]


def test_ten_times_the_texts_need_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns, peaks = 200, []
    monkeypatch.setattr(head_module, "ROW_BLOCKS_KEPT", 2)
    monkeypatch.setattr(count_store, "ROW_BLOCK_BYTES", 8 * columns * 100)
    for texts in (300, 3000):
        counts, own = counted(texts, columns, 3)
        with on_disk_csr(tmp_path, columns, int(counts.max())) as block:
            block.append(counts)
            del counts
            tracemalloc.start()
            fit_head([block], (1,), own, 3, 5.0, 1.0)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100 * 3000  # bytes of values kept per text


def test_the_estimate_includes_fitting_the_head() -> None:
    settings = small(objective="language", codebook_size=65_536)
    huge = head_bytes(settings, 65_536, 5000, 100)
    with pytest.raises(
        TrainingError, match=r"after the epochs, would take about \d+.* GiB on cpu.*lower training.codebook_size"
    ):
        check_memory(huge, CPU, HEAD_PHASE)
    assert head_bytes(settings, 65_536, 5000, 101) > huge
    few, many = (reading_bytes(small(objective="language", codebook_size=codes), 2000, 60) for codes in (8, 65_536))
    assert many - few > 4 * 16_384 * 65_000


@pytest.mark.parametrize("refused", ["reading_bytes", "head_bytes"])
def test_a_head_that_does_not_fit_into_memory_is_refused_before_the_epochs(
    monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr(preflight, refused, lambda *_: 2**60)
    given = (documents(), documents(seed=1))
    with pytest.raises(TrainingError, match="after the epochs, would take about 1073741824"):
        run_preflight(small(objective="language"), *given)
    assert run_preflight(small(objective="labels"), *given) == CPU


def test_the_memory_estimate_of_the_head_is_near_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of NumPy's allocations; these include the workspace of L-BFGS, 26 numbers per weight and head."""
    labels, columns = 30, 400
    for module in (count_store, preflight):
        monkeypatch.setattr(module, "ROW_BLOCK_BYTES", 8 * columns * 500)
    for module in (head_module, preflight):
        monkeypatch.setattr(module, "ROW_BLOCKS_KEPT", 2)
    counts, own = counted(2000, columns, labels)
    small_counts = counts.astype(np.uint8)
    tracemalloc.start()
    configs = [HeadConfig((1, share), 5.0) for share in CODES_SHARES[1:]]
    for _ in fit_heads([small_counts[:, :300], small_counts[:, 300:]], configs, own, labels, 1.0):
        pass
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    estimate = head_bytes(small(objective="language", codebook_size=100), 300, labels, 0)
    assert 0.7 < estimate / used < 2


def test_row_blocks_hold_every_text_once_and_keep_to_their_size() -> None:
    found = row_blocks(10_000, 3000)
    assert [text for some in found for text in range(some.start, some.stop)] == list(range(10_000))
    assert max(some.stop - some.start for some in found) * 3000 * 8 <= count_store.ROW_BLOCK_BYTES
    assert row_blocks(0, 3000) == []


def test_counts_on_disk_may_exceed_the_range_of_int32(tmp_path: Path) -> None:
    with on_disk_csr(tmp_path, 3, 255) as found:
        found.append(np.array([[1, 2, 3]]))
        found._ends[-1] = 2**31 - 2  # as if texts with this many counts came before: the files get a hole
        found.append(np.array([[4, 0, 5], [6, 7, 8]]))
        np.testing.assert_array_equal(found[1:3].toarray(), [[4, 0, 5], [6, 7, 8]])
        assert found.nnz == 2**31 + 3


def test_row_blocks_of_sparse_counts_have_more_texts() -> None:
    few = np.eye(1000, dtype=np.uint8)
    with on_disk_csr(Path(gettempdir()), 1000, 255) as found:
        found.append(few)
        assert mean_row_size([found]) == count_store.SPARSE
        assert mean_row_size([found, found]) == 2 * count_store.SPARSE
        assert mean_row_size([Concatenated(found, found)]) == count_store.SPARSE
        assert mean_row_size([found, few]) == 2000  # a dense array keeps its zeros in memory
        found.append(np.ones((1000, 1000), np.uint8))
        assert mean_row_size([found]) == 1000
