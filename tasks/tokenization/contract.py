"""The contract of the token ids, checked before a model is trained on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tasks.extraction.document import Document
from tasks.shared.checks.batch import CheckBatch, gathered
from tasks.shared.files import file_digest
from tasks.shared.parquet import read_batches, read_schema
from tasks.splitting.documents import read_label_names, read_split_sizes
from tasks.splitting.schema import SPLITS
from tasks.tokenization.schema import DATASET, tokens_schema
from tasks.tokenization.settings import TokenizationLimits, TokenizationSettings
from tasks.tokenization.store import read_header
from tasks.vocabulary.schema import TOKENIZER, id_type
from tasks.vocabulary.tokenizer_file import UNK, read_vocabulary

SCHEMAS: Mapping[str, tuple[pa.Schema, ...]] = {
    DATASET: tuple(tokens_schema(size, "", ()) for size in (2**16, 2**16 + 1)),
}
"""Ids take two bytes, or four if the vocabulary has more than 65,536 tokens."""
ROW = ("doc_id", "split", "length", "ids", "largest_id", "unknown", "bytes", "spells_text", "as_in_splits")
BATCH_ROWS = 1024
"""Documents in memory at a time."""


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: TokenizationSettings, limits: TokenizationLimits
) -> Iterator[CheckBatch]:
    """A few numbers per document, compared with its text, some thousand at a time; then the aggregates."""
    expected = read_split_sizes(inputs["cleaned"], inputs["splits"])
    vocabulary = inputs["vocabulary"] / TOKENIZER
    token_bytes = np.array([len(token) for token in read_vocabulary(vocabulary).tokens])
    size = len(token_bytes)
    sums = []
    frames = (
        _rows(batch, expected, token_bytes, settings.max_tokens)
        for batch in read_batches(artifact / DATASET, rows=BATCH_ROWS)
    )
    for number, frame in enumerate(gathered(frames, pd.DataFrame(columns=ROW))):
        sums.append(_sums(frame, settings.max_tokens))
        yield CheckBatch(f"tokens {number}", frame, _row_expectations(size, settings), "doc_id")
    yield CheckBatch("splits", _per_split(sums), _split_expectations(limits), "split")
    missing = sum(1 for _ in expected)
    yield CheckBatch(
        "dataset", _dataset(artifact, inputs["splits"], vocabulary, size, missing), _dataset_expectations()
    )


def _rows(
    batch: pa.RecordBatch,
    expected: Iterator[tuple[Document, int]],
    token_bytes: NDArray[np.int64],
    max_tokens: int | None,
) -> pd.DataFrame:
    """One row per document: its length, largest id and unknown tokens, and the text that it should come from."""
    columns = [batch[name].to_pylist() for name in ("doc_id", "label", "split")]
    offsets = batch["token_ids"].offsets.to_numpy().astype(np.int64)
    numbers = batch["token_ids"].values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
    offsets -= offsets[0]
    spelled = _per_row(np.add, token_bytes[np.minimum(numbers, len(token_bytes) - 1)], offsets)
    ids = np.diff(offsets)
    documents = list(islice(expected, len(ids)))
    text_bytes = np.zeros(len(ids), np.int64)
    text_bytes[: len(documents)] = [size for _, size in documents]
    as_in_splits = np.zeros(len(ids), bool)
    as_in_splits[: len(documents)] = [
        row == (document.doc_id, document.label, document.split)
        for row, (document, _) in zip(zip(*columns, strict=True), documents, strict=False)
    ]
    return pd.DataFrame(
        {
            "doc_id": columns[0],
            "split": columns[2],
            "length": batch["length"].to_numpy(),
            "ids": ids,
            "largest_id": _per_row(np.maximum, numbers.astype(np.int64), offsets),
            "unknown": _per_row(np.add, (numbers == UNK).astype(np.int64), offsets),
            "bytes": text_bytes,
            "spells_text": (spelled == text_bytes) | ((ids == (max_tokens or -1)) & (spelled < text_bytes)),
            "as_in_splits": as_in_splits,
        }
    )


def _per_row(operation: np.ufunc, values: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The operation over the values of each row, which begin at `offsets` [rows + 1]; 0 for a row without values."""
    found = np.zeros(len(offsets) - 1, np.int64)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        found[filled] = operation.reduceat(values, offsets[filled])
    return found


def _row_expectations(size: int, settings: TokenizationSettings) -> list[gxe.Expectation]:
    return [
        gxe.ExpectColumnValuesToBeUnique(column="doc_id", notes="a document has one row"),
        gxe.ExpectColumnValuesToBeInSet(
            column="as_in_splits",
            value_set=[True],
            notes="rows, order and labels are those of the splits: no document added, lost or relabelled",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="length",
            min_value=1,
            max_value=settings.max_tokens,
            notes="a text without tokens has nothing to learn",
        ),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="length", column_B="ids", notes="training and evaluation use `length` without reading the ids"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="spells_text",
            value_set=[True],
            notes="the tokens have as many bytes as the text, or fewer if tokenization.max_tokens cut it",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="largest_id", max_value=size - 1, notes="a larger id lies outside the model's embedding"
        ),
    ]


def _sums(frame: pd.DataFrame, max_tokens: int | None) -> pd.DataFrame:
    """Totals per split of one Parquet part; tokens per byte count documents only that were not cut short."""
    whole = frame["length"] < (max_tokens or np.inf)
    columns = {
        "tokens": frame["ids"],
        "unknown": frame["unknown"],
        "tokens_of_whole": frame["ids"].where(whole, 0),
        "bytes_of_whole": frame["bytes"].where(whole, 0),
    }
    return pd.DataFrame({"split": frame["split"], **columns}).groupby("split", as_index=False).sum()


def _per_split(sums: list[pd.DataFrame]) -> pd.DataFrame:
    totals = pd.concat(sums).groupby("split", as_index=False).sum()
    return totals.assign(
        unknown_share=totals["unknown"] / totals["tokens"],
        tokens_per_byte=totals["tokens_of_whole"] / totals["bytes_of_whole"],  # null if all were cut
    )


def _split_expectations(limits: TokenizationLimits) -> list[gxe.Expectation]:
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="split", value_set=list(SPLITS), notes="training and evaluation know these splits"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="unknown_share",
            max_value=limits.max_unknown_share,
            notes="a byte-level vocabulary can spell everything; [UNK] means that texts and vocabulary do not match",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="tokens_per_byte",
            min_value=limits.min_tokens_per_byte,
            max_value=limits.max_tokens_per_byte,
            notes="more: the tokens are not those of these texts; fewer: text was lost",
        ),
    ]


def _dataset(artifact: Path, splits: Path, vocabulary: Path, size: int, missing: int) -> pd.DataFrame:
    """One row: does the schema's metadata agree with the vocabulary and the splits?"""
    header = read_header(artifact)
    stored = read_schema(artifact / DATASET).field("token_ids").type.value_type
    row = {
        "missing": missing,
        "vocabulary_matches": header.vocabulary_digest == file_digest(vocabulary) and header.vocabulary_size == size,
        "labels_match": list(header.label_names) == read_label_names(splits),
        "smallest_id_type": stored == id_type(size),
    }
    return pd.DataFrame([row])


def _dataset_expectations() -> list[gxe.Expectation]:
    reasons = {
        "vocabulary_matches": "ids mean something else with another vocabulary",
        "labels_match": "a label's position in the sorted list is its class id",
        "smallest_id_type": "a larger one wastes disk and memory",
    }
    return [
        gxe.ExpectColumnValuesToBeBetween(column="missing", max_value=0, notes="every document of a split has a row"),
        *(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=[True], notes=why) for name, why in reasons.items()),
    ]
