"""The vocabulary stage: training texts in, tokenizer.json and a table of its tokens out."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.extraction.schema import DATASET as CLEANED
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter
from tasks.shared.parts.kept import KeptParts
from tasks.shared.parts.make import Work, discard, make_parts
from tasks.shared.parts.part import whole_files
from tasks.shared.progress import logger
from tasks.shared.runner.calls import IN_PROCESS
from tasks.splitting.documents import assign_parts, require_all
from tasks.vocabulary.bpe import default_size, drop_rare_merges, merges_for
from tasks.vocabulary.champion import Asked, copy, measure_fit
from tasks.vocabulary.count import FILE, count_part, merged_counts
from tasks.vocabulary.learn import Learner
from tasks.vocabulary.schema import DATASET, FOLDER, TOKENIZER, TOKENS
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.table import token_rows
from tasks.vocabulary.tokenizer_file import FIRST_MERGE, Vocabulary, tokenizer_json

if TYPE_CHECKING:
    from pydantic import JsonValue


@stage("vocabulary", folder=FOLDER, libraries=("regex", "tiktoken", "pyarrow", "numpy"))
def learn_vocabulary(
    settings: VocabularySettings,
    out: Path,
    *,
    cleaned: Path,
    splits: Path,
    scratch: Path,
    executor: Executor = IN_PROCESS,
    kept: KeptParts | None = None,
    champion_vocabulary: Path | None = None,
) -> dict[str, JsonValue]:
    """Counts the pieces of the training texts part by part, and learns the merges from the counts.

    With `keep: champion` the vocabulary of the champion is copied instead, if there is one and it suits the texts.
    """
    parts, place = whole_files(cleaned / CLEANED), scratch / "counted"
    assigned, training = assign_parts(parts, splits, scratch / "training.arrow", "train")
    work = Work(count_part, (), columns=("doc_id", "text"), beside=assigned)
    counted = make_parts("vocabulary", work, parts, place, executor, kept)
    require_all(sum(part["training"] for part in counted.counts), training, cleaned, splits)
    if training == 0:
        raise CorpusError(f"{splits}: the train split has no document to learn a vocabulary from; add texts")
    pieces, times = merged_counts([counted.folder(part) / FILE for part in parts])
    discard(scratch)
    asked = Asked(settings.size, settings.size or default_size(training), settings.min_count)
    if settings.keep == "champion" and champion_vocabulary is None:
        logger("vocabulary").info("vocabulary: learned anew, there is no champion whose vocabulary could be kept")
    elif settings.keep == "champion" and champion_vocabulary is not None:
        bounds = settings.max_fertility_rise, settings.max_rare_rise
        fit = measure_fit(champion_vocabulary, pieces, times, asked, *bounds)
        if not fit.why_not:
            logger("vocabulary").info(
                "vocabulary: the champion's is kept, it suits the training texts: tokens per byte %+.2f %%, rare "
                "tokens %+.2f %% since it was learned",
                *(100 * figure for figure in fit.figures.values()),
            )
            return copy(champion_vocabulary, out) | fit.figures
        logger("vocabulary").info("vocabulary: learned anew: %s", fit.why_not)
        return _learn(pieces, times, asked, out) | fit.figures | {"learned_anew_because": fit.why_not}
    return _learn(pieces, times, asked, out)


def _learn(pieces: list[bytes], times: npt.NDArray[np.int64], asked: Asked, out: Path) -> dict[str, JsonValue]:
    """Learns the merges, and writes the vocabulary; returns its summary."""
    learner = Learner(pieces, times)
    merges = learner.merge(merges_for(asked.tokens))
    merges, counts = drop_rare_merges(merges, learner.token_counts(FIRST_MERGE + len(merges)), asked.min_count)
    vocabulary = Vocabulary(tuple(merges))
    (out / TOKENIZER).write_text(tokenizer_json(vocabulary), encoding="utf-8", newline="\n")
    asked.write(out)
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
