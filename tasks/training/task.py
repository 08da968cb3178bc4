"""The training stage: the RNN member of the stack, cross-fitted on the labelled texts."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError, TrainingError
from tasks.shared.progress import logger, report_progress
from tasks.shared.runner.calls import IN_PROCESS, worth_workers
from tasks.training.schema import (
    GRADIENTS,
    GRADIENTS_FILE,
    HISTORY,
    HISTORY_FILE,
    MEMBER,
    OUT_OF_FOLD_FILE,
)
from tasks.training.settings import TrainingSettings
from tasks.training.skipped import judged_useless, write_skipped
from tasks.vocabulary.schema import TOKENIZER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic import JsonValue

    from tasks.splitting.labelled import LabelledTexts
    from tasks.training.input.vocabulary import Ids, Vocabulary
    from tasks.training.loop.cross_fit import CrossFitted, EvidenceOptions
    from tasks.training.loop.recipe import Recipe

log = logger("training")


@stage(
    "training",
    folder="06_rnn",
    libraries=("torch", "numpy", "safetensors", "scipy", "pyarrow"),
    volatile=(HISTORY_FILE,),
    tags=("gpu",),
    resumes_from=("fold-*/*.safetensors",),
)
def train(
    settings: TrainingSettings,
    out: Path,
    *,
    cleaned: Path,
    splits: Path,
    tokens: Path,
    vocabulary: Path,
    scratch: Path,
    judged: Path | None = None,
    executor: Executor = IN_PROCESS,
) -> dict[str, JsonValue]:
    """Trains a network per fold on the training and validation texts, and predicts each text by one that never saw it.

    Only input `embeddings` reads the tokens and their vocabulary. On a GPU, or with too little memory for
    several at once, the networks are trained one after the other in this process. Of more text than
    `max_megabytes` they learn from a sample, which alone is predicted. With `judged`, a model folder in whose stack the
    RNN was of no use, nothing is trained.
    """
    if judged is not None:
        return _skip(out, judged)
    from tasks.splitting.labelled import log_sample, read_labels, read_texts, sample
    from tasks.training.loop.cross_fit import Workplace, cross_fit  # torch takes a second to import
    from tasks.training.preflight import check_memory
    from tasks.training.runtime.device import choose_device

    known, sizes = read_labels(cleaned, splits)
    labelled = len(known)
    chosen = sample(known, sizes, settings.max_megabytes)
    log_sample(MEMBER, len(chosen), sizes, "training.max_megabytes", settings.max_megabytes)
    known = known.at(chosen)
    _require_two_folds(known)
    device, recipe, options = choose_device(settings.device), make_recipe(settings), _evidence_options(settings)
    reader, ids = _encode(settings, known.doc_ids, partial(read_texts, cleaned, splits, chosen), tokens, vocabulary)
    check_memory(recipe, options, reader.size, len(known.label_names), device)
    executor = worth_workers(executor, int(sizes[chosen].sum())) if device.type == "cpu" else IN_PROCESS
    executor = _one_by_one_if_memory_is_short(executor, known, recipe, options, reader.size, ids)
    log.info("training: %s, %s texts, a network per fold, on %s", settings.cell, f"{len(known):,}", device)
    report_progress(0)
    place = Workplace(device, executor, scratch, _identity(settings, known, ids))
    fitted = cross_fit(
        recipe, settings.windows, options, reader, ids, known.labels, len(known.label_names), known.folds, place
    )
    return {"rows": labelled, **_write(out, known, fitted)} | ({"texts": len(known)} if len(known) < labelled else {})


def _require_two_folds(known: LabelledTexts) -> None:
    if len(set(known.folds.tolist())) < 2:
        raise TrainingError(
            f"all texts that the RNN learns from ({len(known):,}) are of one fold, so it has no other one to learn "
            "from; raise training.max_megabytes, or add texts"
        )


def _one_by_one_if_memory_is_short(
    executor: Executor,
    known: LabelledTexts,
    recipe: Recipe,
    options: EvidenceOptions | None,
    tokens: int,
    ids: Sequence[Ids],
) -> Executor:
    """`executor`, or this process if there is too little memory for several networks at once."""
    from tasks.training.preflight import fit_at_once

    at_once = min(getattr(executor, "workers", 1), int(known.folds.max()) + 1)
    labels, read = len(known.label_names), sum(map(len, ids))
    if at_once > 1 and not fit_at_once(at_once, recipe, options, tokens, labels, read):
        log.info("training: too little memory for %d networks at once; one after the other", at_once)
        return IN_PROCESS
    return executor


def _write(out: Path, known: LabelledTexts, fitted: CrossFitted) -> dict[str, JsonValue]:
    """Writes the artifact; returns what its summary says of the networks."""
    from tasks.shared.out_of_fold import write_out_of_fold
    from tasks.shared.statistics.log_probabilities import log_loss

    (out / MEMBER).mkdir()
    fitted.member.save(out / MEMBER)
    write_out_of_fold(
        out / OUT_OF_FOLD_FILE, known.doc_ids, known.labels, known.folds, known.label_names, fitted.scores
    )
    pq.write_table(pa.Table.from_pylist(fitted.history, schema=HISTORY), out / HISTORY_FILE)
    pq.write_table(pa.Table.from_pylist(fitted.gradients, schema=GRADIENTS), out / GRADIENTS_FILE)
    accuracy = float((fitted.scores.argmax(axis=1) == known.labels).mean())
    return {
        "networks": len(fitted.member.networks),
        "parameters": sum(value.numel() for value in fitted.member.networks[0].parameters()),
        "out_of_fold_accuracy": round(accuracy, 4),
        "out_of_fold_log_loss": round(log_loss(fitted.scores, known.labels), 4),
    }


def _skip(out: Path, judged: Path) -> dict[str, JsonValue]:
    verdict = judged_useless(judged)
    if verdict is None:
        raise ArtifactError(f"{judged}: the RNN is part of this model; set training.when_useless to keep")
    write_skipped(out, verdict)
    return {"rows": 0, "not_trained": verdict.sentence()}


def make_recipe(settings: TrainingSettings) -> Recipe:
    """The settings as pure code takes them."""
    from tasks.training.loop.recipe import Recipe
    from tasks.training.models.network import Dropout

    names = set(Recipe.__dataclass_fields__) - {"layers", "dropout"}
    dropout = Dropout(
        settings.dropout, settings.embedding_dropout, settings.token_dropout, settings.evidence.gate_dropout
    )
    return Recipe(**{name: getattr(settings, name) for name in names}, layers=settings.num_layers, dropout=dropout)


def _evidence_options(settings: TrainingSettings) -> EvidenceOptions | None:
    from tasks.training.loop.cross_fit import EvidenceOptions

    if settings.input == "embeddings":
        return None
    return EvidenceOptions(**{name: getattr(settings.evidence, name) for name in EvidenceOptions.__dataclass_fields__})


def _encode(
    settings: TrainingSettings,
    doc_ids: Sequence[str],
    read: Callable[[], Iterable[str]],
    tokens: Path,
    vocabulary: Path,
) -> tuple[Vocabulary, list[Ids]]:
    """The vocabulary, and the ids of these texts in it; `read` reads them, few at a time."""
    import numpy as np

    from tasks.splitting.labelled import LEARNED
    from tasks.tokenization.store import open_tokens
    from tasks.training.input.vocabulary import SubwordVocabulary, WordVocabulary

    if settings.input == "evidence":
        words = WordVocabulary.learn(read(), settings.evidence.vocabulary_size)
        return words, words.encode(read())
    ids: dict[str, Ids] = {}
    wanted = set(doc_ids)
    for split in sorted(LEARNED):
        documents = open_tokens(tokens, split)
        pairs = zip(documents.doc_ids, documents, strict=True)
        ids |= {name: some.astype(np.int32) for name, some in pairs if name in wanted}
    return SubwordVocabulary(vocabulary / TOKENIZER), [ids[name] for name in doc_ids]


def _identity(settings: TrainingSettings, known: LabelledTexts, ids: Sequence[Ids]) -> dict[str, Any]:
    """What a checkpoint must have in common with the training that resumes it; names are for error messages.

    `ids` are those of the texts, all that the networks read of them.
    """
    digest = hashlib.sha256(json.dumps([list(known.doc_ids), list(known.label_names)]).encode())
    digest.update(json.dumps([len(some) for some in ids]).encode())
    for array in (known.labels, known.folds):
        digest.update(array.tobytes())
    for some in ids:
        digest.update(some.tobytes())
    values = {f"training.{key}": value for key, value in settings.cache_values().items() if key != "device"}
    return {**values, "the texts' digest": digest.hexdigest()[:16]}
