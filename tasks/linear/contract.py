"""Expectations of the linear members before they are stacked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.linear.member import LinearMember
from tasks.linear.sample import sample
from tasks.linear.schema import LABELS, out_of_fold_file
from tasks.linear.settings import LinearLimits, LinearSettings
from tasks.shared.checks.batch import CheckBatch
from tasks.shared.out_of_fold import OutOfFold, read_out_of_fold
from tasks.splitting.labelled import read_labels

SCHEMAS: Mapping[str, pa.Schema] = {}


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: LinearSettings, limits: LinearLimits
) -> Iterator[CheckBatch]:
    """One row per member: aggregates of its weights and of its out-of-fold predictions."""
    label_names = json.loads((artifact / LABELS).read_text(encoding="utf-8"))
    known, sizes = read_labels(inputs["cleaned"], inputs["splits"])
    rows = []
    for name in settings.members:
        predictions = read_out_of_fold(artifact / out_of_fold_file(name), label_names)
        learned = sample(settings, name, known, sizes)
        rows.append(
            {
                "member": name,
                "labelled": len(known),
                "predicted_or_left_out": len(predictions.doc_ids) + len(known) - len(learned),
                "other_texts": known.at(learned).differing(predictions.doc_ids, predictions.labels),
                **_aggregates(LinearMember.load(artifact / name), predictions),
            }
        )
    expectations = [
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="predicted_or_left_out",
            column_B="labelled",
            notes="no labelled text is lost: each is predicted, or left out for linear.*_max_megabytes",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="other_texts",
            max_value=0,
            notes="the texts and labels are those of the training and validation splits",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="not_finite", max_value=0, notes="a single NaN makes every prediction NaN"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="duplicates", max_value=0, notes="each labelled text is predicted once, by a model without its fold"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="sum_error", max_value=1e-3, notes="the probabilities of a text sum to one"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="gain",
            min_value=limits.min_gain_over_majority,
            notes="a member worse than always predicting the most common label has learned nothing",
        ),
    ]
    yield CheckBatch("members", pd.DataFrame(rows), expectations, key="member")


def _aggregates(member: LinearMember, predictions: OutOfFold) -> dict[str, object]:
    scores, labels = predictions.scores, predictions.labels
    accuracy = float((scores.argmax(axis=1) == labels).mean())
    arrays = (scores, member.weights, member.bias, member.idf)
    return {
        "not_finite": int(sum((~np.isfinite(array)).sum() for array in arrays)),
        "duplicates": len(predictions.doc_ids) - len(set(predictions.doc_ids)),
        "sum_error": float(np.abs(np.exp(scores.astype(np.float64)).sum(axis=1) - 1).max()),
        "gain": round(accuracy - float(np.bincount(labels).max()) / len(labels), 9),
    }
