"""The contract of the vocabulary, checked before texts are encoded with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.extraction.document import Document
from tasks.shared.checks.batch import CheckBatch
from tasks.shared.parquet import read_table
from tasks.splitting.documents import read_split_sizes
from tasks.vocabulary.bpe import MAX_SIZE
from tasks.vocabulary.schema import DATASET, TOKENIZER, TOKENS
from tasks.vocabulary.settings import VocabularyLimits, VocabularySettings
from tasks.vocabulary.tokenizer_file import (
    FIRST_BYTE,
    FIRST_MERGE,
    SPECIAL_TOKENS,
    Vocabulary,
    printable_tokens,
    read_vocabulary,
)

SCHEMAS: Mapping[str, pa.Schema] = {DATASET: TOKENS}


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: VocabularySettings, limits: VocabularyLimits
) -> Iterator[CheckBatch]:
    """The table of tokens compared with tokenizer.json, and a row of aggregates; both are small for any corpus.

    A vocabulary that is kept has the counts of the champion's training texts, so these are not compared.
    """
    vocabulary = read_vocabulary(artifact / TOKENIZER)
    tokens: pd.DataFrame = read_table(artifact / DATASET).to_pandas()
    yield CheckBatch("tokens", _rows(tokens, vocabulary), _row_expectations(settings), "token_id")
    yield CheckBatch("vocabulary", _aggregates(tokens, vocabulary.size), _aggregate_expectations(limits))
    champion = inputs.get("champion_vocabulary")
    if champion is None or (champion / TOKENIZER).read_bytes() != (artifact / TOKENIZER).read_bytes():
        sizes = read_split_sizes(inputs["cleaned"], inputs["splits"])
        yield CheckBatch("training texts", _bytes(tokens, sizes), [_all_counted()])


def _rows(tokens: pd.DataFrame, vocabulary: Vocabulary) -> pd.DataFrame:
    """The table, and for each row whether tokenizer.json agrees."""
    expected = dict(enumerate(zip(printable_tokens(vocabulary), vocabulary.tokens, strict=True)))
    matches = [
        expected.get(number) == (token, content)
        for number, token, content in zip(tokens["token_id"], tokens["token"], tokens["bytes"], strict=True)
    ]
    columns = tokens[["token_id", "token", "count", "merge_rank"]]
    return columns.assign(position=np.arange(len(tokens)), as_in_tokenizer=np.array(matches, bool))


def _row_expectations(settings: VocabularySettings) -> list[gxe.Expectation]:
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=FIRST_MERGE,
            max_value=settings.size or MAX_SIZE,
            notes="special tokens and 256 bytes are always present; the model's embedding has room for `size` tokens",
        ),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="token_id", column_B="position", notes="ids are 0 … n - 1 without gaps: they index the embedding"
        ),
        gxe.ExpectColumnValuesToBeUnique(column="token", notes="two ids for one token would make encoding ambiguous"),
        gxe.ExpectColumnValuesToBeUnique(column="merge_rank", notes="the rank decides which pair is merged first"),
        gxe.ExpectColumnValuesToBeBetween(column="count", min_value=0, notes="a count is not negative"),
        gxe.ExpectColumnValuesToBeInSet(
            column="as_in_tokenizer", value_set=[True], notes="the table describes the tokenizer.json next to it"
        ),
    ]


def _aggregates(tokens: pd.DataFrame, size: int) -> pd.DataFrame:
    learned = tokens[tokens["merge_rank"].notna()]
    single = tokens["bytes"].iloc[FIRST_BYTE:FIRST_MERGE]
    row = {
        "missing": len(set(range(size)) - set(tokens["token_id"])),
        "special_tokens": " ".join(tokens["token"].iloc[:FIRST_BYTE]),
        "bytes": single[single.map(len) == 1].nunique(),
        "occurrences": int(tokens["count"].sum()),
        "unused_share": float((learned["count"] == 0).mean()) if len(learned) else 0.0,
    }
    return pd.DataFrame([row])


def _bytes(tokens: pd.DataFrame, sizes: Iterator[tuple[Document, int]]) -> pd.DataFrame:
    counted = int((tokens["count"] * tokens["bytes"].map(len)).sum())
    return pd.DataFrame(
        {"counted_bytes": [counted], "training_bytes": [sum(n for row, n in sizes if row.split == "train")]}
    )


def _all_counted() -> gxe.Expectation:
    return gxe.ExpectColumnPairValuesToBeEqual(
        column_A="counted_bytes", column_B="training_bytes", notes="every training text is counted, once"
    )


def _aggregate_expectations(limits: VocabularyLimits) -> list[gxe.Expectation]:
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="missing", value_set=[0], notes="every token of tokenizer.json has a row"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="special_tokens", value_set=[" ".join(SPECIAL_TOKENS)], notes="[PAD] is id 0 and [UNK] is id 1"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="bytes", value_set=[256], notes="with all bytes as tokens, every text can be encoded"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="occurrences", min_value=1, notes="the training texts have at least one character"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="unused_share",
            max_value=limits.max_unused_share,
            severity="warning",
            notes="tokens that no training text uses take memory and are never trained; choose a smaller size",
        ),
    ]
