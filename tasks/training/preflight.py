"""Pre-flight checks: device, splits, labels, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tasks.shared.errors import TrainingError
from tasks.training.head.codebook import VECTORS_AT_ONCE
from tasks.training.head.count_store import ROW_BLOCK_BYTES
from tasks.training.head.counts import TOKENS_AT_ONCE
from tasks.training.head.fit import HEADS, SAMPLE
from tasks.training.head.head import ROW_BLOCKS_KEPT
from tasks.training.models.language_model import MAX_TARGETS, LanguageModel, LanguageModelArchitecture
from tasks.training.models.window_classifier import WindowArchitecture, WindowClassifier
from tasks.training.runtime.device import check_processes, choose_device, free_bytes

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.settings import TrainingSettings

FLOAT, DOUBLE = 4, 8
TRAINING_PHASE = "training", "training.batch_size, training.window, training.hidden_size or training.embedding_size"
HEAD_PHASE = (
    "fitting the head, after the epochs,",
    "training.codebook_size, training.hidden_size or vocabulary.size",
)
"""A phase, and the settings that reduce its memory."""
VALUES_PER_UNIT = {"none": 0, "rnn": 4, "gru": 10, "lstm": 20, "mingru": 6, "minlstm": 8}
"""Floats kept for the backward pass per hidden unit, direction and token, with their gradients (measured)."""

VALUES_PER_LOGIT = 3
"""The logit itself, its log-probability and its gradient."""

ROW_BLOCKS, VALUES_PER_WEIGHT = 6, 36
"""While heads are fitted: row blocks of features besides those kept, and float64 per weight (measured)."""


def run_preflight(
    settings: TrainingSettings, training: TokenizedDocuments, validation: TokenizedDocuments
) -> torch.device:
    """Runs all checks below, and returns the device to train on. Raises SettingsError if it is missing."""
    device = choose_device(settings.device)
    check_processes(settings.processes, device)
    check_split("train", training)
    check_split("validation", validation)
    check_labels(training)
    longest = int(np.diff(training.offsets).max())
    needed = needed_bytes(settings, training.vocabulary_size, len(training.label_names), longest)
    check_memory(needed * (settings.processes if device.type == "cpu" else 1), device)
    if settings.objective == "language":
        labels, texts = len(training.label_names), len(validation)
        check_memory(reading_bytes(settings, training.vocabulary_size, longest), device, HEAD_PHASE)
        check_memory(head_bytes(settings, training.vocabulary_size, labels, texts), torch.device("cpu"), HEAD_PHASE)
    return device


def check_split(name: str, documents: TokenizedDocuments) -> None:
    """Raises TrainingError if there are no documents, a document without tokens, or token ids beyond the vocabulary."""
    if len(documents) == 0:
        raise TrainingError(f"the {name} split has no documents; raise splitting.{name}, or add texts")
    empty = np.flatnonzero(np.diff(documents.offsets) == 0)
    if len(empty):
        raise TrainingError(
            f"document {documents.doc_ids[empty[0]]} of the {name} split has no tokens; drop it in cleaning"
        )
    for chunk in documents.chunks():
        largest = int(chunk.ids.max())
        if largest >= documents.vocabulary_size:
            position = chunk.first + int(np.searchsorted(chunk.offsets, int(chunk.ids.argmax()), side="right")) - 1
            raise TrainingError(
                f"document {documents.doc_ids[position]} of the {name} split has token id {largest}, but the "
                f"vocabulary has {documents.vocabulary_size} tokens; tokenize again with training's vocabulary"
            )


def check_labels(training: TokenizedDocuments) -> None:
    """Raises TrainingError if there are fewer than two labels, or a label without training documents."""
    names = training.label_names
    if len(names) < 2:
        raise TrainingError(f"the only label is {', '.join(names) or '(none)'}; a classifier needs two or more")
    counts = np.bincount(training.labels, minlength=len(names))
    missing = [name for name, count in zip(names, counts, strict=True) if count == 0]
    if missing:
        raise TrainingError(
            f"no training text has the label {', '.join(missing)}; add texts, or change splitting.small_labels"
        )


def needed_bytes(settings: TrainingSettings, vocabulary_size: int, labels: int, longest: int) -> int:
    """Estimated memory of a process: weights with gradient, two moments and best copy, and a step's activations."""
    architecture = WindowArchitecture.of(settings, vocabulary_size, labels)
    with torch.device("meta"):
        model: nn.Module = WindowClassifier(architecture)
        if settings.objective == "language":
            model = LanguageModel(LanguageModelArchitecture.of(settings, vocabulary_size))
    parameters = sum(weight.numel() for weight in model.parameters())
    tokens = -(-settings.batch_size // settings.processes) * min(settings.window, longest)
    recurrent = architecture.state_size * architecture.layers * VALUES_PER_UNIT[architecture.cell]
    logits = (
        settings.prediction_ratio * VALUES_PER_LOGIT * min(vocabulary_size, MAX_TARGETS)
        if settings.objective == "language"
        else 0
    )
    return FLOAT * (5 * parameters + int(tokens * (4 * architecture.embedding_size + recurrent + logits)))


def reading_bytes(settings: TrainingSettings, vocabulary_size: int, longest: int) -> int:
    """Estimated memory for sampling states, fitting the codebook and counting; independent of the number of texts."""
    architecture = LanguageModelArchitecture.of(settings, vocabulary_size)
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in LanguageModel(architecture).parameters())
    features = architecture.embedding_size + architecture.state_size
    tokens = max(TOKENS_AT_ONCE, min(settings.window, longest))
    sampling = (2 * SAMPLE + 3 * tokens) * features
    fitting = 3 * SAMPLE * features + 2 * VECTORS_AT_ONCE * settings.codebook_size
    return FLOAT * (2 * parameters + max(sampling, fitting))


def head_bytes(settings: TrainingSettings, vocabulary_size: int, labels: int, texts: int) -> int:
    """Estimated memory for fitting the head: row blocks of features, weights, predictions for `texts` to validate."""
    weights = labels * (vocabulary_size + settings.codebook_size)
    numbers = VALUES_PER_WEIGHT * weights + HEADS * labels * texts
    return (ROW_BLOCKS + ROW_BLOCKS_KEPT // 2) * ROW_BLOCK_BYTES + DOUBLE * numbers


def check_memory(needed: int, device: torch.device, phase: tuple[str, str] = TRAINING_PHASE) -> None:
    """Raises TrainingError if a `phase` needs more memory than is free."""
    free = free_bytes(device)
    if free is not None and needed > free:
        raise TrainingError(
            f"{phase[0]} would take about {needed / 2**30:.1f} GiB on {device}, but {free / 2**30:.1f} GiB are free; "
            f"lower {phase[1]}"
        )
