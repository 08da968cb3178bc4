"""What must be right before the first training step, so that an hour later it does not turn out to be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tasks.shared.errors import TrainingError
from tasks.training.head.codebook import VECTORS_AT_ONCE
from tasks.training.head.count_store import SLICE_BYTES
from tasks.training.head.counts import TOKENS_AT_ONCE
from tasks.training.head.fit import HEADS, SAMPLE
from tasks.training.head.head import SLICES_KEPT
from tasks.training.models.language_model import TOLD, Reader, ReaderArchitecture
from tasks.training.models.window_classifier import Architecture, WindowClassifier
from tasks.training.runtime.device import check_processes, choose_device, free_bytes

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.settings import TrainingSettings

FLOAT, DOUBLE = 4, 8
TRAINING = "training", "training.batch_size, training.window, training.hidden_size or training.embedding_size"
AFTERWARDS = (
    "classifying by what was read, after the epochs,",
    "training.codebook_size, training.hidden_size or vocabulary.size",
)
"""What takes memory, and what people can lower."""
VALUES_PER_UNIT = {"none": 0, "rnn": 4, "gru": 10, "lstm": 20, "mingru": 6, "minlstm": 8}
"""Numbers held for the backward pass, per hidden unit, direction and token, with their gradients (measured)."""

VALUES_PER_LOGIT = 3
"""The logit itself, its log-probability and its gradient."""

SLICES, VALUES_PER_WEIGHT = 6, 36
"""Held while heads are learned: slices of features beside those kept, and numbers per weight (measured)."""


def ready_device(
    settings: TrainingSettings, training: TokenizedDocuments, validation: TokenizedDocuments
) -> torch.device:
    """The device to train on. Raises what the functions below raise, and SettingsError if the device is not there."""
    device = choose_device(settings.device)
    check_processes(settings.processes, device)
    check_part("train", training)
    check_part("validation", validation)
    check_labels(training)
    longest = int(np.diff(training.offsets).max())
    needed = needed_bytes(settings, training.vocabulary_size, len(training.label_names), longest)
    check_memory(needed * (settings.processes if device.type == "cpu" else 1), device)
    if settings.objective == "language":
        labels, texts = len(training.label_names), len(validation)
        check_memory(reading_bytes(settings, training.vocabulary_size, longest), device, AFTERWARDS)
        check_memory(head_bytes(settings, training.vocabulary_size, labels, texts), torch.device("cpu"), AFTERWARDS)
    return device


def check_part(name: str, part: TokenizedDocuments) -> None:
    """Raises TrainingError for a part without documents, a document without tokens, or ids beyond the vocabulary."""
    if len(part) == 0:
        raise TrainingError(f"the {name} part has no documents; give splitting.{name} a larger share or more texts")
    empty = np.flatnonzero(np.diff(part.offsets) == 0)
    if len(empty):
        raise TrainingError(f"document {part.doc_ids[empty[0]]} of the {name} part has no tokens; drop it in cleaning")
    for chunk in part.chunks():
        largest = int(chunk.ids.max())
        if largest >= part.vocabulary_size:
            where = chunk.first + int(np.searchsorted(chunk.offsets, int(chunk.ids.argmax()), side="right")) - 1
            raise TrainingError(
                f"document {part.doc_ids[where]} of the {name} part has token id {largest}, but the vocabulary has "
                f"{part.vocabulary_size} tokens; tokenize again with the vocabulary that training gets"
            )


def check_labels(training: TokenizedDocuments) -> None:
    """Raises TrainingError where there is no choice to learn, or a label without a training text."""
    names = training.label_names
    if len(names) < 2:
        raise TrainingError(f"only the label {', '.join(names) or '(none)'} is there; a classifier needs two or more")
    counts = np.bincount(training.labels, minlength=len(names))
    missing = [name for name, count in zip(names, counts, strict=True) if count == 0]
    if missing:
        raise TrainingError(
            f"no training text has the label {', '.join(missing)}; add texts, or change the policy in splitting"
        )


def needed_bytes(settings: TrainingSettings, vocabulary_size: int, labels: int, longest: int) -> int:
    """Roughly what a process takes: weights with gradient, two moments and the best copy, and a step's activations."""
    architecture = Architecture.of(settings, vocabulary_size, labels)
    with torch.device("meta"):
        model: nn.Module = WindowClassifier(architecture)
        if settings.objective == "language":
            model = Reader(ReaderArchitecture.of(settings, vocabulary_size))
    parameters = sum(weight.numel() for weight in model.parameters())
    tokens = -(-settings.batch_size // settings.processes) * min(settings.window, longest)
    recurrent = architecture.state_size * architecture.layers * VALUES_PER_UNIT[architecture.cell]
    logits = (
        settings.prediction_ratio * VALUES_PER_LOGIT * min(vocabulary_size, TOLD)
        if settings.objective == "language"
        else 0
    )
    return FLOAT * (5 * parameters + int(tokens * (4 * architecture.embedding_size + recurrent + logits)))


def reading_bytes(settings: TrainingSettings, vocabulary_size: int, longest: int) -> int:
    """Roughly what objective language takes after its epochs: states are sampled, the codebook is learned, texts read.

    No more with more texts.
    """
    architecture = ReaderArchitecture.of(settings, vocabulary_size)
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in Reader(architecture).parameters())
    features = architecture.embedding_size + architecture.state_size
    tokens = max(TOKENS_AT_ONCE, min(settings.window, longest))
    sampling = (2 * SAMPLE + 3 * tokens) * features
    learning = 3 * SAMPLE * features + 2 * VECTORS_AT_ONCE * settings.codebook_size
    return FLOAT * (2 * parameters + max(sampling, learning))


def head_bytes(settings: TrainingSettings, vocabulary_size: int, labels: int, texts: int) -> int:
    """Roughly what learning the head takes: slices of features, the weights, and the answers to validation texts."""
    weights = labels * (vocabulary_size + settings.codebook_size)
    numbers = VALUES_PER_WEIGHT * weights + HEADS * labels * texts
    return (SLICES + SLICES_KEPT // 2) * SLICE_BYTES + DOUBLE * numbers


def check_memory(needed: int, device: torch.device, told: tuple[str, str] = TRAINING) -> None:
    """Raises TrainingError where more would be taken than is free; `told` is what for, and what to lower."""
    free = free_bytes(device)
    if free is not None and needed > free:
        raise TrainingError(
            f"{told[0]} would take about {needed / 2**30:.1f} GiB on {device}, but {free / 2**30:.1f} GiB are free; "
            f"lower {told[1]}"
        )
