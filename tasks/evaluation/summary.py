"""An evaluation as plain JSON values: what stands in metrics.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tasks.evaluation.results import Calibration, Comparison, Estimate, Evaluation, Scores, Validated


def metrics(evaluation: Evaluation, validated: Validated | None) -> dict[str, Any]:
    """The measures on the test part at the top level, what training saw in the validation part under `validation`."""
    resampling = evaluation.resampling
    return {
        **_scores(evaluation.scores),
        "labels": list(evaluation.label_names),
        "per_label": _per_label(evaluation),
        "confusion": {"labels": list(evaluation.label_names), "matrix": evaluation.confusion.tolist()},
        "calibration": _calibration(evaluation.calibration),
        "baselines": {name: _comparison(found) for name, found in evaluation.baselines.items()},
        "validation": None if validated is None else asdict(validated),
        "intervals": {
            "method": "bias-corrected percentile bootstrap over documents",
            "samples": resampling.samples,
            "confidence": resampling.confidence,
            "seed": resampling.seed,
        },
    }


def _estimate(name: str, found: Estimate) -> dict[str, Any]:
    return {name: found.value, f"{name}_interval": [found.low, found.high]}


def _scores(found: Scores) -> dict[str, Any]:
    return {
        "documents": found.documents,
        **_estimate("accuracy", found.accuracy),
        **_estimate("macro_f1", found.macro_f1),
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


def _calibration(found: Calibration) -> dict[str, Any]:
    table = found.reliability
    return {
        **_estimate("expected_calibration_error", found.error),
        **_estimate("log_loss", found.log_loss),
        **_estimate("brier", found.brier),
        "training_shares": {"log_loss": found.shares_log_loss, "brier": found.shares_brier},
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


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        **_scores(found.scores),
        **_estimate("accuracy_difference", found.accuracy_lead),
        **_estimate("macro_f1_difference", found.macro_f1_lead),
        "only_model_right": found.only_model_right,
        "only_baseline_right": found.only_baseline_right,
        "mcnemar_p": found.mcnemar_p,
    }
