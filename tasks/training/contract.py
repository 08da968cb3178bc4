"""Expectations of a model folder before it is evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from great_expectations.expectations.expectation import Expectation
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tasks.shared.checks.batch import CheckBatch
from tasks.shared.errors import ArtifactError
from tasks.tokenization.store import open_tokens
from tasks.training.schema import CONFIG, GRADIENTS, GRADIENTS_FILE, HISTORY, HISTORY_FILE, WEIGHTS
from tasks.training.settings import TrainingLimits, TrainingSettings
from tasks.vocabulary.schema import TOKENIZER

SCHEMAS: Mapping[str, pa.Schema] = {HISTORY_FILE: HISTORY, GRADIENTS_FILE: GRADIENTS}
MAX_LOSS = 1e6
"""Far above any useful loss; infinity fails it."""
TEXTS_BY_CHANCE = 2
"""Errors that a limit below zero always allows: among few texts they are a large share but prove nothing."""
DIGITS = 9
"""To which shares are rounded, to remove rounding errors."""


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: TrainingSettings, limits: TrainingLimits
) -> Iterator[CheckBatch]:
    """The history, the kept epoch, the gradients, aggregates of the weights, and the files."""
    history = pq.read_table(artifact / HISTORY_FILE).to_pandas()
    yield CheckBatch("history", history, list(_history(settings, limits)), key="epoch")
    yield kept_epoch(history, *majority(inputs["tokens"]), limits)
    yield CheckBatch("gradients", pq.read_table(artifact / GRADIENTS_FILE).to_pandas(), list(_gradients()))
    weights = weight_aggregates(artifact / WEIGHTS)
    yield CheckBatch("weights", weights, list(_weights()), key="tensor")
    yield CheckBatch("matrices", weights[weights["dimensions"] > 1], list(_matrices()), key="tensor")
    yield CheckBatch("files", _files(artifact), list(_complete()), key="file")


def majority(tokens: Path) -> tuple[float, int]:
    """Share of validation texts with the most common training label, and the number of validation texts."""
    most_common = np.bincount(open_tokens(tokens, "train").labels).argmax()
    labels = open_tokens(tokens, "validation").labels
    return float((labels == most_common).mean()), len(labels)


def kept_epoch(history: pd.DataFrame, share: float, texts: int, limits: TrainingLimits) -> CheckBatch:
    """The kept epoch, with its gain over the majority class, whose accuracy is `share` on `texts` validation texts."""
    kept = history[history["kept"]]
    gain = (kept["validation_accuracy"] - share).round(DIGITS)
    return CheckBatch("kept epoch", kept.assign(gain=gain), list(_kept(limits, texts)), key="epoch")


def weight_aggregates(path: Path) -> pd.DataFrame:
    """One row per tensor: dimensions, number of non-finite values, largest finite magnitude. Raises ArtifactError."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"{path}: not readable as safetensors ({error}); delete its folder and run again"
        ) from error
    return pd.DataFrame(
        {
            "tensor": name,
            "dimensions": values.ndim,
            "values": values.size,
            "not_finite": int((~np.isfinite(values)).sum()),
            "largest": float(np.abs(values[np.isfinite(values)]).max(initial=0)),
        }
        for name, values in sorted(tensors.items())
    )


def _files(artifact: Path) -> pd.DataFrame:
    names = (WEIGHTS, CONFIG, TOKENIZER)
    sizes = [(artifact / name).stat().st_size if (artifact / name).is_file() else 0 for name in names]
    return pd.DataFrame({"file": names, "bytes": sizes})


def _history(settings: TrainingSettings, limits: TrainingLimits) -> Iterator[Expectation]:
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=1,
        max_value=settings.epochs,
        notes="one row per epoch, and at most as many epochs as the settings allow",
    )
    yield gxe.ExpectColumnValuesToBeIncreasing(column="epoch", strictly=True, notes="each epoch is trained once")
    for column in ("train_loss", "validation_loss"):
        yield gxe.ExpectColumnValuesToNotBeNull(column=column, notes="NaN means that training diverged")
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=0, max_value=MAX_LOSS, notes="an infinite loss means that training diverged"
        )
    for column in ("gradient_norm_mean", "gradient_norm_max"):
        yield gxe.ExpectColumnValuesToNotBeNull(column=column, notes="NaN means that training diverged")
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column,
            min_value=0,
            max_value=limits.max_gradient_norm,
            notes="larger gradients have exploded: lower training.learning_rate or training.max_grad_norm",
        )
    shares = ("train_window_accuracy", "validation_window_accuracy", "validation_accuracy", "validation_macro_f1")
    for column in (*shares, "clipped_share"):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=0, max_value=1, notes="it is a share, from 0 to 1"
        )
    for column in ("tokens_per_second", "seconds", "learning_rate"):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=0, strict_min=True, notes="an epoch takes time and trains on tokens"
        )


def _kept(limits: TrainingLimits, texts: int) -> Iterator[Expectation]:
    yield gxe.ExpectTableRowCountToEqual(value=1, notes="exactly one epoch's weights are kept")
    floor = limits.min_gain_over_majority
    reason = "a model worse than always predicting the most common label has learned nothing"
    if floor < 0:
        fewer = max(TEXTS_BY_CHANCE, math.floor(round(-floor * texts, DIGITS)))
        reason += f"; by chance it may get {fewer} texts fewer right (of {texts} in the validation split)"
        floor = -fewer / texts
    yield gxe.ExpectColumnValuesToBeBetween(column="gain", min_value=round(floor, DIGITS), notes=reason)
    if limits.min_validation_accuracy is not None:
        yield gxe.ExpectColumnValuesToBeBetween(
            column="validation_accuracy",
            min_value=limits.min_validation_accuracy,
            severity="warning",
            notes="the minimum in the settings",
        )


def _gradients() -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToNotBeNull(column="norm", notes="NaN means that the weights are not finite")
    yield gxe.ExpectColumnValuesToBeBetween(column="norm", min_value=0, notes="a norm is not negative")
    yield gxe.ExpectColumnValuesToBeBetween(column="windows", min_value=1, notes="a mean needs at least one window")


def _weights() -> Iterator[Expectation]:
    yield gxe.ExpectTableRowCountToBeBetween(min_value=1, notes="a model has weights")
    yield gxe.ExpectColumnValuesToBeBetween(
        column="not_finite", max_value=0, notes="a single NaN weight makes every prediction NaN"
    )


def _matrices() -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeBetween(
        column="largest", min_value=0, strict_min=True, notes="a zero matrix carries no information"
    )


def _complete() -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeBetween(
        column="bytes",
        min_value=1,
        notes="the folder is self-contained: prediction needs weights, config and tokenizer",
    )
