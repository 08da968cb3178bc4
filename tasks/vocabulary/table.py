"""The table of tokens for people: the bytes of each and how often the training texts use it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.vocabulary.schema import TOKENS
from tasks.vocabulary.tokenizer_file import FIRST_MERGE, Vocabulary, printable_tokens


def token_rows(vocabulary: Vocabulary, counts: npt.NDArray[np.int64]) -> pa.RecordBatch:
    """One row per token, by id, in the columns of `schema.TOKENS`."""
    ids = range(vocabulary.size)
    return pa.RecordBatch.from_pydict(
        {
            "token_id": ids,
            "token": printable_tokens(vocabulary),
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
