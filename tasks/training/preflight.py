"""The estimate of a training's memory, compared with what is free before it starts."""

from __future__ import annotations

import torch

from tasks.shared.errors import TrainingError
from tasks.splitting.labelled import FOLDS
from tasks.training.loop.cross_fit import EvidenceOptions
from tasks.training.loop.recipe import Recipe
from tasks.training.models.network import Architecture, Dropout, Network
from tasks.training.runtime.device import free_bytes

HALF, FLOAT = 2, 4
VALUES_PER_UNIT = {"rnn": 4, "gru": 10, "lstm": 20, "mingru": 6, "minlstm": 8}
"""Floats kept for the backward pass per hidden unit, direction and token, with their gradients (measured)."""
VALUES_PER_INPUT = 6
"""Floats per input feature of a token: the input, its gradient, and both pooled."""
BLOCK_BYTES = 3 * 2**26
"""Dense evidence while tables are computed."""
BYTES_PER_TOKEN = 20
"""Of a token of the texts: its id and its pair's in the windows, and both counted."""
WORKER_BYTES = 300 * 2**20
"""What a worker process has once it has imported its libraries."""


def check_memory(
    recipe: Recipe, options: EvidenceOptions | None, tokens: int, labels: int, device: torch.device
) -> None:
    """Raises TrainingError if the training would need more memory than is free."""
    steps, tables = step_bytes(recipe, options, tokens, labels), table_bytes(options, tokens, labels)
    cpu = torch.device("cpu")
    for needed, where in ((steps, device), (tables + (steps if device == cpu else 0), cpu)):
        free = free_bytes(where)
        if free is not None and needed > free:
            raise TrainingError(
                f"training would take about {needed / 2**30:.1f} GiB on {where}, but {free / 2**30:.1f} GiB are free; "
                "lower training.batch_size, training.window, training.hidden_size or training.evidence.dimensions"
            )


def fit_at_once(
    networks: int, recipe: Recipe, options: EvidenceOptions | None, tokens: int, labels: int, read: int
) -> bool:
    """Whether there is memory on the CPU for the training of so many networks at once, each in its own process.

    `tokens` is the size of the vocabulary, `read` the number of tokens of all texts.
    """
    free = free_bytes(torch.device("cpu"))
    each = (
        WORKER_BYTES
        + read * BYTES_PER_TOKEN
        + step_bytes(recipe, options, tokens, labels)
        + table_bytes(options, tokens, labels)
    )
    return free is None or networks * each <= free


def step_bytes(recipe: Recipe, options: EvidenceOptions | None, tokens: int, labels: int) -> int:
    """Weights of all networks, gradient and two moments of one, and a step's activations."""
    size = dimensions(options, labels)
    architecture = Architecture(
        labels,
        tokens,
        size,
        recipe.embedding_size,
        recipe.hidden_size,
        recipe.layers,
        recipe.bidirectional,
        recipe.cell,
    )
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in Network(architecture, Dropout()).parameters())
    states = recipe.hidden_size * recipe.layers * (2 if recipe.bidirectional else 1)
    inputs = recipe.embedding_size + 2 * size
    per_token = VALUES_PER_INPUT * inputs + VALUES_PER_UNIT.get(recipe.cell, 4) * states
    if options is not None:
        per_token += 2 * labels
    return FLOAT * ((FOLDS + 4) * parameters + recipe.batch_size * recipe.window * per_token)


def table_bytes(options: EvidenceOptions | None, tokens: int, labels: int) -> int:
    """The evidence tables of one network, and what their computation takes besides."""
    if options is None:
        return 0
    return HALF * FOLDS * (tokens + options.max_pairs) * dimensions(options, labels) + BLOCK_BYTES


def dimensions(options: EvidenceOptions | None, labels: int) -> int:
    """Values of evidence per entry."""
    return 0 if options is None else min(options.dimensions, labels)
