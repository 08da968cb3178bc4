"""The training stage: tokens and a vocabulary in, a self-contained model folder out."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError
from tasks.shared.files import file_digest, write_text
from tasks.shared.progress import logger, report_progress
from tasks.tokenization.store import open_tokens
from tasks.training.schema import CONFIG, GRADIENTS_FILE, HISTORY, HISTORY_FILE, WEIGHTS
from tasks.training.settings import TrainingSettings
from tasks.vocabulary.schema import TOKENIZER

if TYPE_CHECKING:
    from pydantic import JsonValue
    from torch import Tensor

    from tasks.training.loop.epoch_metrics import Progress

log = logger("training")
WORKER = "tasks.training.worker"
"""The module that each process runs if `training.processes` is more than one."""


@stage(
    "training",
    folder="06_models",
    libraries=("torch", "numpy", "safetensors", "scipy"),
    volatile=(HISTORY_FILE,),
    tags=("gpu",),
)
def train(
    settings: TrainingSettings, out: Path, *, tokens: Path, vocabulary: Path, scratch: Path
) -> dict[str, JsonValue]:
    """Trains on the training split; keeps the epoch with the lowest validation loss."""
    from tasks.training.config import identity, model_config
    from tasks.training.distributed.launch import train_distributed
    from tasks.training.loop.checkpoint import Checkpoints  # torch takes a second to import: not for a reused model
    from tasks.training.loop.epoch_metrics import Callback
    from tasks.training.preflight import run_preflight
    from tasks.training.train_model import train_model

    training, validation = open_tokens(tokens, "train"), open_tokens(tokens, "validation")
    device = run_preflight(settings, training, validation)
    _check_vocabulary(vocabulary / TOKENIZER, training.vocabulary_digest)
    log.info("training: %s, %d texts, %s tokens, on %s", settings.cell, len(training), f"{training.tokens:,}", device)
    report_progress(0)
    checkpoints = Checkpoints(scratch, identity(settings, training, validation))
    callback = Callback(_log_progress, on_epoch_end=partial(_log_epoch, settings.epochs))
    if settings.processes > 1:  # train_model then finds the last epoch's checkpoint
        train_distributed(settings, WORKER, tokens, checkpoints, callback)
    objective, trained, gradients = train_model(settings, training, validation, device, checkpoints, callback)

    objective.model.load_state_dict(trained.weights)
    gradients.add(trained.kept_epoch)
    started = time.monotonic()
    classifier, metrics = objective.finalize(scratch)
    epochs = range(1, len(trained.history) + 1) if settings.gradient_flow else [trained.kept_epoch]
    pq.write_table(gradients.table(epochs), out / GRADIENTS_FILE)
    kept = trained.history[trained.kept_epoch - 1]
    config = model_config(settings, training, classifier, kept)
    kept |= {"completion_seconds": time.monotonic() - started}
    if metrics is not None:
        kept |= {"validation_accuracy": metrics.accuracy, "validation_macro_f1": metrics.macro_f1}
        _log_head(config["architecture"], metrics.accuracy)
    weights = {name: value.cpu().contiguous() for name, value in classifier.state_dict().items()}
    _write(out, weights, config, trained.history)
    shutil.copyfile(vocabulary / TOKENIZER, out / TOKENIZER)
    return {
        "rows": len(trained.history),
        "kept_epoch": trained.kept_epoch,
        **{key: kept[key] for key in ("validation_loss", "validation_accuracy", "validation_macro_f1")},
        "parameters": sum(value.numel() for value in weights.values()),
    }


def _write(
    out: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> None:
    from safetensors.torch import save_file

    save_file(dict(weights), out / WEIGHTS)
    write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")
    pq.write_table(pa.Table.from_pylist(list(history), schema=HISTORY), out / HISTORY_FILE)


def _check_vocabulary(tokenizer: Path, expected: str) -> None:
    try:
        digest = file_digest(tokenizer)
    except OSError as error:
        raise ArtifactError(f"{tokenizer}: not readable ({error}); learn the vocabulary again") from error
    if digest != expected:
        raise ArtifactError(f"{tokenizer}: not the vocabulary that the tokens were made with; tokenize again")


def _log_head(architecture: Mapping[str, Any], accuracy: float | None) -> None:
    log.info(
        "training: head fitted: weight of the codes %g, C %g; validation accuracy %.3f",
        architecture["codes_share"],
        architecture["inverse_regularization"],
        accuracy,
    )


def _log_progress(progress: Progress) -> None:
    log.info(
        "training: epoch %d of %d, %d%%, loss %.3f, %s tokens/s",
        progress.epoch,
        progress.epochs,
        round(100 * progress.share),
        progress.loss,
        f"{progress.tokens_per_second:,.0f}",
    )
    report_progress((progress.epoch - 1 + progress.share) / progress.epochs)


def _log_epoch(epochs: int, row: Mapping[str, Any]) -> None:
    accuracy = row["validation_accuracy"]
    log.info(
        "training: epoch %d of %d done, validation loss %.3f%s",
        row["epoch"],
        epochs,
        row["validation_loss"],
        "" if accuracy is None else f", accuracy {accuracy:.3f}",
    )
    report_progress(row["epoch"] / epochs)
