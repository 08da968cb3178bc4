"""The table of tokens that people read: what each stands for and how often the training texts use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.shared.batched import batched
from tasks.vocabulary.schema import TOKENS
from tasks.vocabulary.tokenizer_file import FIRST_MERGE, Vocabulary, printable

if TYPE_CHECKING:
    from tasks.vocabulary.tokenizer import Encoder

TEXTS_AT_A_TIME = 256


def count_tokens(encoder: Encoder, texts: Iterable[str]) -> npt.NDArray[np.int64]:
    """How often the encoded texts use each token: [size of the vocabulary]. Holds 256 texts at a time."""
    counts = np.zeros(encoder.size, np.int64)
    for some in batched(texts, TEXTS_AT_A_TIME):
        for ids in encoder.encode(some):
            counts += np.bincount(ids, minlength=encoder.size)
    return counts


def token_rows(vocabulary: Vocabulary, counts: npt.NDArray[np.int64]) -> pa.RecordBatch:
    """One row per token, by id, in the columns of `schema.TOKENS`."""
    ids = range(vocabulary.size)
    return pa.RecordBatch.from_pydict(
        {
            "token_id": ids,
            "token": printable(vocabulary),
            "text": [_text(token) for token in vocabulary.tokens],
            "bytes": vocabulary.tokens,
            "count": counts,
            "merge_rank": [number - FIRST_MERGE if number >= FIRST_MERGE else None for number in ids],
        },
        schema=TOKENS,
    )


def _text(token: bytes) -> str | None:
    try:
        return token.decode()
    except UnicodeDecodeError:
        return None
