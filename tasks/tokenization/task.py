"""The tokenization stage: cleaned documents, their splits and a vocabulary in, token ids out."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.extraction.schema import DATASET as CLEANED
from tasks.shared.engine.stage import stage
from tasks.shared.files import file_digest
from tasks.shared.parquet import ONE_FILE, PartWriter
from tasks.shared.parts.kept import KeptParts
from tasks.shared.parts.make import Work, collect, discard, make_parts
from tasks.shared.parts.part import whole_files
from tasks.shared.progress import logger
from tasks.shared.runner.calls import IN_PROCESS
from tasks.splitting.documents import assign_parts, read_label_names, require_all
from tasks.tokenization.encode import encode_part
from tasks.tokenization.schema import DATASET, tokens_schema
from tasks.tokenization.settings import TokenizationSettings
from tasks.vocabulary.schema import TOKENIZER
from tasks.vocabulary.tokenizer_file import read_vocabulary

if TYPE_CHECKING:
    from pydantic import JsonValue


@stage("tokenization", folder="05_tokens", libraries=("tiktoken", "pyarrow", "numpy"))
def tokenize(
    settings: TokenizationSettings,
    out: Path,
    *,
    cleaned: Path,
    splits: Path,
    vocabulary: Path,
    scratch: Path,
    executor: Executor = IN_PROCESS,
    kept: KeptParts | None = None,
) -> dict[str, JsonValue]:
    """Encodes every document of the splits, part by part."""
    tokenizer, labels = vocabulary / TOKENIZER, read_label_names(splits)
    size, digest = read_vocabulary(tokenizer).size, file_digest(tokenizer)
    parts, place = whole_files(cleaned / CLEANED), scratch / "encoded"
    assigned, expected = assign_parts(parts, splits, scratch / "assigned.arrow")
    work = Work(
        encode_part,
        (tokenizer, digest, labels, settings.max_tokens),
        columns=("doc_id", "text"),
        depends_on={"vocabulary": digest, "labels": labels, "max_tokens": settings.max_tokens},
        beside=assigned,
    )
    encoded = make_parts("tokenization", work, parts, place, executor, kept)
    rows, tokens = (sum(part[name] for part in encoded.counts) for name in ("rows", "tokens"))
    require_all(rows, expected, cleaned, splits)
    collect(encoded, parts, ONE_FILE, out / DATASET)
    discard(scratch)
    if not rows:
        with PartWriter(out / DATASET, tokens_schema(size, digest, labels)):
            pass  # a dataset without rows
    logger("tokenization").info("tokenization: %d documents, %d tokens", rows, tokens)
    return {"rows": rows, "tokens": tokens, "labels": len(labels)}
