"""The training stage: tokens and a vocabulary in, a model folder that stands alone out."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError
from tasks.shared.files import file_digest, write_text
from tasks.shared.progress import SECONDS_BETWEEN_LINES, logger, tell
from tasks.tokenization.store import open_tokens
from tasks.training.head.progress import Watch
from tasks.training.schema import CONFIG, GRADIENTS, GRADIENTS_FILE, HISTORY, HISTORY_FILE, WEIGHTS
from tasks.training.settings import TrainingSettings
from tasks.vocabulary.schema import TOKENIZER

if TYPE_CHECKING:
    from pydantic import JsonValue
    from torch import Tensor

    from tasks.tokenization.store import Chunk
    from tasks.training.loop.epoch_metrics import Progress

log = logger("training")
WORKER = "tasks.training.worker"
"""What each process runs with `training.processes`."""


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
    """Trains on the training part, keeps the epoch that does best on the validation part."""
    from tasks.training.config import identity, model_config
    from tasks.training.distributed.launch import train_together
    from tasks.training.loop import loop  # torch takes a second to import: a reused model does without it
    from tasks.training.loop.checkpoint import Checkpoints
    from tasks.training.loop.epoch_metrics import Listener
    from tasks.training.loop.gradient_record import GradientRecord
    from tasks.training.objectives.objective import objective_of
    from tasks.training.preflight import ready_device

    training, validation = open_tokens(tokens, "train"), open_tokens(tokens, "validation")
    device = ready_device(settings, training, validation)
    _check_vocabulary(vocabulary / TOKENIZER, training.vocabulary_digest)
    log.info("training: %s, %d texts, %s tokens, on %s", settings.cell, len(training), f"{training.tokens:,}", device)
    checkpoints = Checkpoints(scratch, identity(settings, training, validation))
    objective = objective_of(settings, training, validation, device)
    tell(0)
    gradients = GradientRecord(objective.model, training, settings.window, device, scratch, GRADIENTS)

    if settings.processes > 1:  # what follows takes up the last checkpoint that they leave
        listener = Listener(_say, learned=partial(_say_epoch, settings.epochs))
        train_together(settings, WORKER, tokens, checkpoints, listener)

    def learned(row: Mapping[str, Any]) -> None:
        _say_epoch(settings.epochs, row)
        if settings.gradient_flow:
            gradients.add(row["epoch"])

    trained = loop.train(settings, objective, training, device, checkpoints, Listener(_say, learned=learned))
    objective.model.load_state_dict(trained.weights)
    gradients.add(trained.kept_epoch)
    started = time.monotonic()
    classifier, judged = objective.complete(Afterwards(objective.reads), scratch)
    epochs = range(1, len(trained.history) + 1) if settings.gradient_flow else [trained.kept_epoch]
    pq.write_table(gradients.table(epochs), out / GRADIENTS_FILE)
    kept = trained.history[trained.kept_epoch - 1]
    config = model_config(settings, training, classifier, kept)
    kept |= {"completion_seconds": time.monotonic() - started}
    if judged is not None:
        kept |= {"validation_accuracy": judged.accuracy, "validation_macro_f1": judged.macro_f1}
        _say_complete(config["architecture"], judged.accuracy)
    weights = {name: value.cpu().contiguous() for name, value in classifier.state_dict().items()}
    _write(out, weights, config, trained.history)
    shutil.copyfile(vocabulary / TOKENIZER, out / TOKENIZER)
    return {
        "rows": len(trained.history),
        "kept_epoch": trained.kept_epoch,
        **{key: kept[key] for key in ("validation_loss", "validation_accuracy", "validation_macro_f1")},
        "parameters": sum(value.numel() for value in weights.values()),
    }


class Afterwards(Watch):
    """Says every few seconds how far the work after the epochs is, in which so many tokens are read."""

    def __init__(self, tokens: int) -> None:
        self._tokens, self._read, self._spoken = tokens, 0, time.monotonic()

    def reading(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """See Watch."""
        for chunk in chunks:
            yield chunk
            self._read += len(chunk.ids)
            self._say("reading the texts with the trained reader, %d%%", round(100 * self._read / self._tokens))
        if self._read == self._tokens:
            log.info("training: learning to classify what was read")

    def learned(self, heads: int, of: int) -> None:
        """See Watch."""
        self._say("learning to classify what was read, %d of %d", heads, of)

    def _say(self, what: str, *numbers: int) -> None:
        if time.monotonic() - self._spoken >= SECONDS_BETWEEN_LINES:
            self._spoken = time.monotonic()
            log.info("training: " + what, *numbers)


def _write(
    out: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> None:
    from safetensors.torch import save_file

    save_file(dict(weights), out / WEIGHTS)
    write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")
    pq.write_table(pa.Table.from_pylist(list(history), schema=HISTORY), out / HISTORY_FILE)


def _say_complete(architecture: Mapping[str, Any], accuracy: float | None) -> None:
    log.info(
        "training: texts classified by what was read: codes of states count %g, tokens 1, strength %g; "
        "validation accuracy %.3f",
        architecture["codes_share"],
        architecture["strength"],
        accuracy,
    )


def _check_vocabulary(tokenizer: Path, expected: str) -> None:
    try:
        digest = file_digest(tokenizer)
    except OSError as error:
        raise ArtifactError(f"{tokenizer}: not readable ({error}); learn the vocabulary again") from error
    if digest != expected:
        raise ArtifactError(f"{tokenizer}: is not the vocabulary that the tokens were made with; tokenize again")


def _say(progress: Progress) -> None:
    log.info(
        "training: epoch %d of %d, %d%%, loss %.3f, %s tokens/s",
        progress.epoch,
        progress.epochs,
        round(100 * progress.share),
        progress.loss,
        f"{progress.tokens_per_second:,.0f}",
    )
    tell((progress.epoch - 1 + progress.share) / progress.epochs)


def _say_epoch(epochs: int, row: Mapping[str, Any]) -> None:
    accuracy = row["validation_accuracy"]
    log.info(
        "training: epoch %d of %d done, validation loss %.3f%s",
        row["epoch"],
        epochs,
        row["validation_loss"],
        "" if accuracy is None else f", accuracy {accuracy:.3f}",
    )
    tell(row["epoch"] / epochs)
