"""Expectations of a model folder before it is evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
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
from tasks.shared.out_of_fold import OUT_OF_FOLD, OutOfFold, read_out_of_fold
from tasks.splitting.labelled import FOLDS, LabelledTexts, read_labels, sample
from tasks.training.models.files import WEIGHTS
from tasks.training.schema import (
    GRADIENTS,
    GRADIENTS_FILE,
    HISTORY,
    HISTORY_FILE,
    MEMBER,
    OUT_OF_FOLD_FILE,
)
from tasks.training.settings import TrainingLimits, TrainingSettings
from tasks.training.skipped import read_skipped

SCHEMAS: Mapping[str, pa.Schema] = {HISTORY_FILE: HISTORY, GRADIENTS_FILE: GRADIENTS, OUT_OF_FOLD_FILE: OUT_OF_FOLD}
MAX_LOSS = 1e6
"""Far above any useful loss; infinity fails it."""
TEXTS_BY_CHANCE = 2
"""Errors that a limit below zero always allows: among few texts they are a large share but prove nothing."""
DIGITS = 9
"""To which shares are rounded, to remove rounding errors."""


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: TrainingSettings, limits: TrainingLimits
) -> Iterator[CheckBatch]:
    """The history, the out-of-fold predictions, the gradients, and aggregates of the weights.

    If nothing was trained, the verdict for which it was not.
    """
    if (verdict := read_skipped(artifact)) is not None:
        yield CheckBatch("not trained", pd.DataFrame([asdict(verdict)]), list(_not_trained()))
        return
    history = pq.read_table(artifact / HISTORY_FILE).to_pandas()
    yield CheckBatch("history", history, list(_history(settings, limits)), key="epoch")
    known, sizes = read_labels(inputs["cleaned"], inputs["splits"])
    predictions = read_out_of_fold(artifact / OUT_OF_FOLD_FILE, known.label_names)
    learned = known.at(sample(known, sizes, settings.max_megabytes))
    yield texts(predictions, learned, len(known))
    yield out_of_fold(predictions, limits)
    yield CheckBatch("gradients", pq.read_table(artifact / GRADIENTS_FILE).to_pandas(), list(_gradients()))
    weights = weight_aggregates(artifact / MEMBER / WEIGHTS)
    yield CheckBatch("weights", weights, list(_weights()), key="tensor")


def texts(predictions: OutOfFold, learned: LabelledTexts, labelled: int) -> CheckBatch:
    """Whether the predictions are of the texts that the RNN learned from; `labelled` texts are there altogether."""
    row = {
        "labelled": labelled,
        "predicted_or_left_out": len(predictions.doc_ids) + labelled - len(learned),
        "other_texts": learned.differing(predictions.doc_ids, predictions.labels),
    }
    return CheckBatch("texts", pd.DataFrame([row]), list(_texts()))


def out_of_fold(predictions: OutOfFold, limits: TrainingLimits) -> CheckBatch:
    """Aggregates of the out-of-fold predictions, in one row."""
    scores, labels = predictions.scores.astype(np.float64), predictions.labels
    accuracy = float((scores.argmax(axis=1) == labels).mean())
    row = {
        "texts": len(labels),
        "repeated": len(labels) - len(set(predictions.doc_ids)),
        "not_finite": int((~np.isfinite(scores)).sum()),
        "sum_error": float(np.abs(np.exp(scores).sum(axis=1) - 1).max()),
        "accuracy": accuracy,
        "gain": round(accuracy - float(np.bincount(labels).max()) / len(labels), DIGITS),
    }
    return CheckBatch("out of fold", pd.DataFrame([row]), list(_out_of_fold(limits, len(labels))))


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


def _not_trained() -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeBetween(
        column="documents", min_value=1, notes="the RNN is left out because of what was measured on documents"
    )


def _history(settings: TrainingSettings, limits: TrainingLimits) -> Iterator[Expectation]:
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=settings.epochs,
        max_value=settings.epochs * FOLDS,
        notes="one row per network and epoch",
    )
    yield gxe.ExpectCompoundColumnsToBeUnique(column_list=["fold", "epoch"], notes="each epoch is trained once")
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
    shares = ("train_window_accuracy", "validation_accuracy", "validation_macro_f1")
    for column in (*shares, "clipped_share"):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=0, max_value=1, notes="it is a share, from 0 to 1"
        )
    for column in ("tokens_per_second", "seconds"):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=0, strict_min=True, notes="an epoch takes time and trains on tokens"
        )


def _texts() -> Iterator[Expectation]:
    yield gxe.ExpectColumnPairValuesToBeEqual(
        column_A="predicted_or_left_out",
        column_B="labelled",
        notes="no labelled text is lost: each is predicted, or left out for training.max_megabytes",
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="other_texts", max_value=0, notes="texts and labels are those of the training and validation splits"
    )


def _out_of_fold(limits: TrainingLimits, texts: int) -> Iterator[Expectation]:
    for column, reason in (
        ("repeated", "each labelled text is predicted once, by the network that never saw it"),
        ("not_finite", "a text without a prediction cannot be weighed"),
    ):
        yield gxe.ExpectColumnValuesToBeBetween(column=column, max_value=0, notes=reason)
    yield gxe.ExpectColumnValuesToBeBetween(
        column="sum_error", max_value=1e-3, notes="the probabilities of a text sum to one"
    )
    floor = limits.min_gain_over_majority
    reason = "a model worse than always predicting the most common label has learned nothing"
    if floor < 0:
        fewer = max(TEXTS_BY_CHANCE, math.floor(round(-floor * texts, DIGITS)))
        reason += f"; by chance it may get {fewer} texts fewer right (of {texts})"
        floor = -fewer / texts
    yield gxe.ExpectColumnValuesToBeBetween(column="gain", min_value=round(floor, DIGITS), notes=reason)
    if limits.min_accuracy is not None:
        yield gxe.ExpectColumnValuesToBeBetween(
            column="accuracy", min_value=limits.min_accuracy, severity="warning", notes="the minimum in the settings"
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
