"""An evaluation as JSON values, the content of metrics.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tasks.evaluation.results import Calibration, Comparison, Estimate, Evaluation, Scores, ValidationScores


def metrics(evaluation: Evaluation, validation: ValidationScores | None) -> dict[str, Any]:
    """The scores on the test split at the top level, those on the validation split under `validation`."""
    resampling = evaluation.resampling
    return {
        **_scores(evaluation.scores),
        "labels": list(evaluation.label_names),
        "per_label": _per_label(evaluation),
        "confusion": {"labels": list(evaluation.label_names), "matrix": evaluation.confusion.tolist()},
        "calibration": _calibration(evaluation.calibration),
        "baselines": {name: _comparison(comparison) for name, comparison in evaluation.baselines.items()},
        "validation": None if validation is None else asdict(validation),
        "intervals": {
            "method": "bias-corrected percentile bootstrap over documents",
            "samples": resampling.samples,
            "confidence": resampling.confidence,
            "seed": resampling.seed,
        },
    }


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
