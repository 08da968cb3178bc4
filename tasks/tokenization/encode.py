"""Encodes one part of the cleaned documents, in whatever process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from tasks.shared.batched import batched
from tasks.shared.parquet import ONE_FILE, UNBOUNDED, PartWriter
from tasks.shared.parts.beside import Place
from tasks.shared.parts.part import Part
from tasks.splitting.documents import read_split_part
from tasks.tokenization.schema import ROW_GROUP_BYTES, tokens_schema
from tasks.tokenization.store import token_rows
from tasks.vocabulary.tokenizer import Encoder

BATCH_ROWS = 256
"""Documents in memory at a time."""


def encode_part(
    part: Part,
    folder: Path,
    assigned: Place,
    tokenizer: Path,
    digest: str,
    labels: Sequence[str],
    max_tokens: int | None,
) -> dict[str, int]:
    """Encodes the documents of the splits that are in this part; returns the numbers of documents and of tokens.

    `assigned` is the place of their rows of the splits (`assign_parts`); `digest` is that of the file `tokenizer`.
    Writes one Parquet file, or none if there is no such document.
    """
    encoder, tokens = _encoder(tokenizer, digest), 0
    schema = tokens_schema(encoder.size, digest, labels)
    encoded = (
        (document, encoder.encode_one(document.text)[:max_tokens])
        for document in read_split_part(part, assigned.read())
    )
    with PartWriter(folder, schema, part_bytes=UNBOUNDED, row_group_bytes=ROW_GROUP_BYTES) as writer:
        for batch in batched(encoded, BATCH_ROWS):
            documents, ids = zip(*batch, strict=True)
            tokens += sum(map(len, ids))
            writer.write(token_rows(schema, documents, ids))
    if not writer.rows:
        (folder / ONE_FILE).unlink()
    return {"rows": writer.rows, "tokens": tokens}


@lru_cache(maxsize=1)
def _encoder(tokenizer: Path, digest: str) -> Encoder:
    return Encoder.from_file(tokenizer)
