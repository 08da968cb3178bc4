"""An evaluation as JSON values, the content of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tasks.evaluation.findings.findings import Findings
from tasks.evaluation.results import (
    Calibration,
    Comparison,
    Estimate,
    Evaluation,
    MemberScores,
    Scores,
    ValidationScores,
)


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
        "confusion": {"labels": list(evaluation.label_names), "matrix": evaluation.confusion.tolist()},
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
