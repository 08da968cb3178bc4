"""The columns of the table of tokens, and the names of the stage's files."""

from __future__ import annotations

import pyarrow as pa

FOLDER = "04_vocabulary"
TOKENIZER = "tokenizer.json"
DATASET = "tokens"
LEARNED = "learned.json"
"""What was asked of the vocabulary when it was learned."""

TOKENS = pa.schema(
    [
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("bytes", pa.binary(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("merge_rank", pa.int32()),
    ]
)
"""One row per token, by id. `token` is the printable form that tokenizer.json uses (Ġ is a space, Ċ a line break);
`text` is null if the bytes are not whole characters; `count` is how often the encoded training texts use the
token; `merge_rank` is null for the special tokens and the single bytes."""


def id_type(vocabulary_size: int) -> pa.DataType:
    """The smallest unsigned integer type that holds the ids 0 … `vocabulary_size` - 1 of a byte-level vocabulary."""
    return pa.uint16() if vocabulary_size <= 2**16 else pa.uint32()
