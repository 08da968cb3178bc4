"""The vocabulary stage: training texts in, tokenizer.json and a table of its tokens out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter
from tasks.shared.progress import logger, progress
from tasks.splitting.documents import count_training_texts, training_texts
from tasks.vocabulary.bpe import default_size, drop_rare_merges, learn_merges
from tasks.vocabulary.schema import DATASET, FOLDER, TOKENIZER, TOKENS
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.table import count_tokens, token_rows
from tasks.vocabulary.tokenizer import Encoder
from tasks.vocabulary.tokenizer_file import Vocabulary, tokenizer_json

if TYPE_CHECKING:
    from pydantic import JsonValue


@stage("vocabulary", folder=FOLDER, libraries=("rustbpe", "tiktoken", "pyarrow", "numpy"))
def learn_vocabulary(settings: VocabularySettings, out: Path, *, cleaned: Path, splits: Path) -> dict[str, JsonValue]:
    """Reads the training texts twice: to learn the merges, and to count the tokens."""
    training = count_training_texts(splits)
    if training == 0:
        raise CorpusError(f"{splits}: the train split has no document to learn a vocabulary from; add texts")
    size = settings.size or default_size(training)
    merges = learn_merges(progress(training_texts(cleaned, splits), "vocabulary", "texts read"), size)
    texts = progress(training_texts(cleaned, splits), "vocabulary", "texts encoded")
    counts = count_tokens(Encoder(Vocabulary(tuple(merges))), texts)
    merges, counts = drop_rare_merges(merges, counts, settings.min_count)
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
