"""The vocabulary stage: training texts in, tokenizer.json and a table of its tokens out."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.extraction.schema import DATASET as CLEANED
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter
from tasks.shared.parts.kept import KeptParts
from tasks.shared.parts.make import Work, discard, folder_of, make_parts
from tasks.shared.parts.part import whole_files
from tasks.shared.progress import logger
from tasks.shared.runner.calls import IN_PROCESS
from tasks.splitting.documents import assign_parts, require_all
from tasks.vocabulary.bpe import default_size, drop_rare_merges, merges_for
from tasks.vocabulary.count import FILE, count_part, merged_counts
from tasks.vocabulary.learn import Learner
from tasks.vocabulary.schema import DATASET, FOLDER, TOKENIZER, TOKENS
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.table import token_rows
from tasks.vocabulary.tokenizer_file import FIRST_MERGE, Vocabulary, tokenizer_json

if TYPE_CHECKING:
    from pydantic import JsonValue


@stage("vocabulary", folder=FOLDER, libraries=("regex", "pyarrow", "numpy"))
def learn_vocabulary(
    settings: VocabularySettings,
    out: Path,
    *,
    cleaned: Path,
    splits: Path,
    scratch: Path,
    executor: Executor = IN_PROCESS,
    kept: KeptParts | None = None,
) -> dict[str, JsonValue]:
    """Counts the pieces of the training texts part by part, and learns the merges from the counts."""
    parts, place, texts = whole_files(cleaned / CLEANED), scratch / "counted", scratch / "training"
    training = assign_parts(parts, splits, texts, "train")
    work = Work(count_part, (texts,), columns=("doc_id", "text"), beside=texts)
    counted = make_parts("vocabulary", work, parts, place, executor, kept)
    require_all(sum(part["training"] for part in counted), training, cleaned, splits)
    if training == 0:
        raise CorpusError(f"{splits}: the train split has no document to learn a vocabulary from; add texts")
    learner = Learner(*merged_counts([folder_of(place, part) / FILE for part in parts]))
    discard(scratch)
    merges = learner.merge(merges_for(settings.size or default_size(training)))
    merges, counts = drop_rare_merges(merges, learner.token_counts(FIRST_MERGE + len(merges)), settings.min_count)
    vocabulary = Vocabulary(tuple(merges))
    (out / TOKENIZER).write_text(tokenizer_json(vocabulary), encoding="utf-8", newline="\n")
    with PartWriter(out / DATASET, TOKENS) as table:
        table.write(token_rows(vocabulary, counts))
    used, occurrences = int(np.count_nonzero(counts)), int(counts.sum())
    logger("vocabulary").info(
        "vocabulary: %d tokens, %d of them used, %d occurrences in the training texts",
        vocabulary.size,
        used,
        occurrences,
    )
    return {"rows": vocabulary.size, "used": used, "training_tokens": occurrences}
