"""An evaluation as JSON values, the content of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from tasks.evaluation.findings.findings import Findings
from tasks.evaluation.results import (
    MOST_LABELS_DRAWN,
    Calibration,
    Comparison,
    Estimate,
    Evaluation,
    MemberScores,
    Scores,
    ValidationScores,
)
from tasks.shared.statistics.metrics import Ints


def metrics(
    evaluation: Evaluation,
    out_of_fold: ValidationScores | None,
    members: Mapping[str, MemberScores],
    findings: Findings,
) -> dict[str, Any]:
    """The scores on the test split at the top level; those out of fold, on the texts learned from, under their name."""
    resampling = evaluation.resampling
    return {
        **_scores(evaluation.scores),
        "labels": list(evaluation.label_names),
        "per_label": _per_label(evaluation),
        "confusion": confusion_values(evaluation.label_names, evaluation.confusion),
        "calibration": _calibration(evaluation.calibration),
        "baselines": {name: _comparison(comparison) for name, comparison in evaluation.baselines.items()},
        "members": {name: _member(member) for name, member in members.items()},
        "without": {name: asdict(m.without) for name, m in members.items() if m.without is not None},
        "out_of_fold": None if out_of_fold is None else asdict(out_of_fold),
        "doubtful_labels": {"documents": len(findings.doubtful), "labelled": findings.labelled},
        "intervals": {
            "method": "bias-corrected percentile bootstrap over documents",
            "samples": resampling.samples,
            "confidence": resampling.confidence,
            "seed": resampling.seed,
        },
    }


def _member(member: MemberScores) -> dict[str, float]:
    return {name: getattr(member, name) for name in ("accuracy", "macro_f1", "log_loss", "weight")}


def _estimate(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}_interval": [estimate.low, estimate.high]}


def _scores(scores: Scores) -> dict[str, Any]:
    return {
        "documents": scores.documents,
        **_estimate("accuracy", scores.accuracy),
        **_estimate("macro_f1", scores.macro_f1),
    }


def _per_label(evaluation: Evaluation) -> dict[str, Any]:
    scores = evaluation.per_label
    return {
        label: {
            "precision": float(scores.precision[i]),
            "recall": float(scores.recall[i]),
            **_estimate("f1", evaluation.f1[i]),
            "support": int(scores.support[i]),
        }
        for i, label in enumerate(evaluation.label_names)
    }


def _calibration(calibration: Calibration) -> dict[str, Any]:
    table = calibration.reliability
    return {
        **_estimate("expected_calibration_error", calibration.error),
        **_estimate("log_loss", calibration.log_loss),
        **_estimate("brier", calibration.brier),
        "training_shares": {"log_loss": calibration.prior_log_loss, "brier": calibration.prior_brier},
        "bins": [
            {
                "above": float(table.edges[i]),
                "up_to": float(table.edges[i + 1]),
                "documents": int(table.documents[i]),
                "confidence": float(table.confidence[i]) if table.documents[i] else None,
                "accuracy": float(table.accuracy[i]) if table.documents[i] else None,
            }
            for i in range(len(table.documents))
        ],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        **_scores(comparison.scores),
        **_estimate("accuracy_difference", comparison.accuracy_lead),
        **_estimate("macro_f1_difference", comparison.macro_f1_lead),
        "only_model_right": comparison.only_model_right,
        "only_baseline_right": comparison.only_baseline_right,
        "mcnemar_p": comparison.mcnemar_p,
    }


def confusion_values(names: Sequence[str], matrix: Ints) -> dict[str, Any]:
    """The matrix [true, predicted] as JSON values; a cell is [true, predicted, documents], by numbers of labels."""
    if len(names) <= MOST_LABELS_DRAWN:
        return {"labels": list(names), "matrix": matrix.tolist()}
    rows, columns = np.nonzero(matrix)
    return {"labels": list(names), "cells": np.stack([rows, columns, matrix[rows, columns]], axis=1).tolist()}


def read_confusion(values: Mapping[str, Any]) -> Ints:
    """The matrix [true, predicted] from what `confusion_values` has written."""
    if "matrix" in values:
        return np.array(values["matrix"], np.int64)
    matrix = np.zeros((len(values["labels"]),) * 2, np.int64)
    for true, predicted, documents in values["cells"]:
        matrix[true, predicted] = documents
    return matrix
