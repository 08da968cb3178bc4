"""The training stage: the RNN member of the stack, cross-fitted on the labelled texts."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError
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
    several at once, the networks are trained one after the other in this process. With `judged`, a model folder in
    whose stack the RNN was of no use, nothing is trained.
    """
    if judged is not None:
        return _skip(out, judged)
    from tasks.splitting.labelled import read_labelled_texts
    from tasks.training.loop.cross_fit import Workplace, cross_fit  # torch takes a second to import
    from tasks.training.preflight import check_memory
    from tasks.training.runtime.device import choose_device

    known = read_labelled_texts(cleaned, splits)
    device, recipe, options = choose_device(settings.device), make_recipe(settings), _evidence_options(settings)
    reader, ids = _encode(settings, known, tokens, vocabulary)
    check_memory(recipe, options, reader.size, len(known.label_names), device)
    executor = _choose_executor(executor, known, recipe, options, reader.size) if device.type == "cpu" else IN_PROCESS
    log.info("training: %s, %s texts, a network per fold, on %s", settings.cell, f"{len(known):,}", device)
    report_progress(0)
    place = Workplace(device, executor, scratch, _identity(settings, known))
    known = replace(known, texts=())  # the networks read ids
    fitted = cross_fit(
        recipe, settings.windows, options, reader, ids, known.labels, len(known.label_names), known.folds, place
    )
    return _write(out, known, fitted)


def _choose_executor(
    executor: Executor, known: LabelledTexts, recipe: Recipe, options: EvidenceOptions | None, tokens: int
) -> Executor:
    """`executor`, or this process for a small corpus or if there is too little memory for several networks at once."""
    from tasks.training.preflight import fit_at_once

    executor = worth_workers(executor, sum(map(len, known.texts)))
    at_once = min(getattr(executor, "workers", 1), int(known.folds.max()) + 1)
    if at_once > 1 and not fit_at_once(at_once, recipe, options, tokens, len(known.label_names)):
        log.info("training: too little memory for %d networks at once; one after the other", at_once)
        return IN_PROCESS
    return executor


def _write(out: Path, known: LabelledTexts, fitted: CrossFitted) -> dict[str, JsonValue]:
    """Writes the artifact; returns its summary."""
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
        "rows": len(known),
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
    settings: TrainingSettings, known: LabelledTexts, tokens: Path, vocabulary: Path
) -> tuple[Vocabulary, list[Ids]]:
    """The vocabulary, and the ids of the texts in it."""
    import numpy as np

    from tasks.splitting.labelled import LEARNED
    from tasks.tokenization.store import open_tokens
    from tasks.training.input.vocabulary import SubwordVocabulary, WordVocabulary

    if settings.input == "evidence":
        words = WordVocabulary.learn(known.texts, settings.evidence.vocabulary_size)
        return words, words.encode(known.texts)
    ids: dict[str, Ids] = {}
    for split in sorted(LEARNED):
        documents = open_tokens(tokens, split)
        ids |= {name: some.astype(np.int32) for name, some in zip(documents.doc_ids, documents, strict=True)}
    return SubwordVocabulary(vocabulary / TOKENIZER), [ids[name] for name in known.doc_ids]


def _identity(settings: TrainingSettings, known: LabelledTexts) -> dict[str, Any]:
    """What a checkpoint must have in common with the training that resumes it; names are for error messages."""
    digest = hashlib.sha256(json.dumps([list(known.doc_ids), list(known.label_names)]).encode())
    for array in (known.labels, known.folds):
        digest.update(array.tobytes())
    for text in known.texts:
        digest.update(text.encode())
    values = {f"training.{key}": value for key, value in settings.cache_values().items() if key != "device"}
    return {**values, "the texts' digest": digest.hexdigest()[:16]}
