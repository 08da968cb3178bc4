"""The tokenization stage: cleaned documents, their splits and a vocabulary in, token ids out."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.extraction.schema import DATASET as CLEANED
from tasks.shared.engine.stage import stage
from tasks.shared.files import file_digest
from tasks.shared.parquet import ONE_FILE, PartWriter
from tasks.shared.parts.make import collect, discard, make_parts
from tasks.shared.parts.part import parts_of
from tasks.shared.progress import logger
from tasks.shared.runner.calls import IN_PROCESS
from tasks.splitting.documents import read_label_names, require_all
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
) -> dict[str, JsonValue]:
    """Encodes every document of the splits, part by part."""
    tokenizer, labels = vocabulary / TOKENIZER, read_label_names(splits)
    size, digest = read_vocabulary(tokenizer).size, file_digest(tokenizer)
    parts, place = parts_of(cleaned / CLEANED), scratch / "encoded"
    arguments = (splits, tokenizer, digest, labels, settings.max_tokens)
    counts = make_parts("tokenization", encode_part, parts, arguments, place, executor)
    rows, tokens = (sum(part[name] for part in counts) for name in ("rows", "tokens"))
    require_all(rows, cleaned, splits)
    collect(place, parts, ONE_FILE, out / DATASET)
    discard(place)
    if not rows:
        with PartWriter(out / DATASET, tokens_schema(size, digest, labels)):
            pass  # a dataset without rows
    logger("tokenization").info("tokenization: %d documents, %d tokens", rows, tokens)
    return {"rows": rows, "tokens": tokens, "labels": len(labels)}
