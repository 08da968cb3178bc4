"""The tokenization stage: cleaned documents, their splits and a vocabulary in, token ids out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.shared.batched import batched
from tasks.shared.engine.stage import stage
from tasks.shared.files import file_digest
from tasks.shared.parquet import PartWriter
from tasks.shared.progress import logger, progress
from tasks.splitting.documents import read_label_names, read_split_documents
from tasks.tokenization.schema import DATASET, ROW_GROUP_BYTES, tokens_schema
from tasks.tokenization.settings import TokenizationSettings
from tasks.tokenization.store import token_rows
from tasks.vocabulary.schema import TOKENIZER
from tasks.vocabulary.tokenizer import Encoder

if TYPE_CHECKING:
    from pydantic import JsonValue

BATCH_ROWS = 256
"""Documents in memory at a time."""


@stage("tokenization", folder="05_tokens", libraries=("tiktoken", "pyarrow", "numpy"))
def tokenize(
    settings: TokenizationSettings, out: Path, *, cleaned: Path, splits: Path, vocabulary: Path
) -> dict[str, JsonValue]:
    """Encodes every document of the splits, a batch at a time."""
    encoder = Encoder.from_file(vocabulary / TOKENIZER)
    labels = read_label_names(splits)
    schema = tokens_schema(encoder.size, file_digest(vocabulary / TOKENIZER), labels)
    tokens = 0
    with PartWriter(out / DATASET, schema, row_group_bytes=ROW_GROUP_BYTES) as writer:
        batches = batched(read_split_documents(cleaned, splits), BATCH_ROWS)
        for documents in progress(batches, "tokenization", "batches of documents"):
            ids = [ids[: settings.max_tokens] for ids in encoder.encode([document.text for document in documents])]
            tokens += sum(map(len, ids))
            writer.write(token_rows(schema, documents, ids))
    logger("tokenization").info("tokenization: %d documents, %d tokens", writer.rows, tokens)
    return {"rows": writer.rows, "tokens": tokens, "labels": len(labels)}
