"""Expectations on an evaluation: complete, consistent with the test split, and within the limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.evaluation.schema import BASELINE_PREDICTIONS, DOUBTFUL, METRICS, PREDICTIONS, REPORT, predictions_schema
from tasks.evaluation.settings import EvaluationLimits, EvaluationSettings
from tasks.evaluation.summary import read_confusion
from tasks.shared.checks.batch import CheckBatch
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import compare_schema
from tasks.splitting.documents import read_label_names, read_splits

SCHEMAS: Mapping[str, pa.Schema] = {}
"""Empty: the columns of predictions.parquet depend on the labels, so the first batch checks them."""
ROWS = 50_000
TOLERANCE = 1e-9
"""Largest difference of a row's sum of probabilities from one: float64 rounding with a margin."""


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: EvaluationSettings, limits: EvaluationLimits
) -> Iterator[CheckBatch]:
    """The columns first; if they differ, nothing else is checked."""
    label_names = tuple(read_label_names(inputs["splits"]))
    columns = _columns(artifact / PREDICTIONS, predictions_schema(label_names))
    yield columns
    if not columns.frame["written"].equals(columns.frame["expected"]):
        return
    metrics = _read_metrics(artifact / METRICS)
    yield from _probabilities(artifact / PREDICTIONS, label_names)
    yield _documents(artifact / PREDICTIONS, inputs["splits"])
    yield _scores(metrics)
    yield _consistency(metrics, artifact)
    yield _baselines(metrics, settings)
    yield _floors(metrics, limits)


def _columns(path: Path, schema: pa.Schema) -> CheckBatch:
    return CheckBatch(
        "columns",
        pd.DataFrame(compare_schema(path, schema), columns=["column", "expected", "written"]),
        [
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="expected", column_B="written", notes="a label's probability is looked up by its column name"
            )
        ],
        key="column",
    )


def _probabilities(path: Path, label_names: tuple[str, ...]) -> Iterator[CheckBatch]:
    with pq.ParquetFile(path) as file:
        for number, rows in enumerate(file.iter_batches(batch_size=ROWS)):
            probabilities = np.column_stack([rows[i].to_numpy() for i in range(3, rows.num_columns)])
            likeliest = [label_names[i] for i in probabilities.argmax(1)]
            frame = pd.DataFrame(
                {
                    "doc_id": rows["doc_id"].to_pylist(),
                    "predicted": rows["predicted"].to_pylist(),
                    "likeliest": likeliest,
                    "lowest": probabilities.min(1),
                    "total": probabilities.sum(1),
                }
            )
            expectations = [
                gxe.ExpectColumnValuesToNotBeNull(column="total", notes="NaN is not a probability"),
                gxe.ExpectColumnValuesToBeBetween(column="lowest", min_value=0, notes="a probability is not negative"),
                gxe.ExpectColumnValuesToBeBetween(
                    column="total",
                    min_value=1 - TOLERANCE,
                    max_value=1 + TOLERANCE,
                    notes="a document has exactly one label, so the probabilities sum to one",
                ),
                gxe.ExpectColumnPairValuesToBeEqual(
                    column_A="predicted", column_B="likeliest", notes="the predicted label is the most probable one"
                ),
            ]
            yield CheckBatch(f"probabilities/{number:05d}", frame, expectations, key="doc_id")


def _documents(path: Path, splits: Path) -> CheckBatch:
    """Every document of the test split once, with its label, and no other."""
    expected = pd.DataFrame(_test_documents(splits), columns=["doc_id", "label"])
    written = pq.read_table(path, columns=["doc_id", "label"]).to_pandas()
    frame = expected.merge(written, on="doc_id", how="outer", suffixes=("", "_written")).fillna("missing")
    return CheckBatch(
        "documents",
        frame,
        [
            gxe.ExpectColumnValuesToBeUnique(column="doc_id", notes="a duplicated document would count twice"),
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="label",
                column_B="label_written",
                notes="the scores cover exactly the test split",
            ),
        ],
        key="doc_id",
    )


def _test_documents(splits: Path) -> Iterator[tuple[str, str]]:
    for document in read_splits(splits):
        if document.split == "test":
            yield document.doc_id, document.label


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(metrics, dict):
        raise ArtifactError(f"{path}: not a mapping of metrics")
    return metrics


def _scores(metrics: Mapping[str, Any]) -> CheckBatch:
    rows = [_score("model", metrics, "accuracy"), _score("model", metrics, "macro_f1")]
    rows += [_score(label, scores, "f1") for label, scores in metrics["per_label"].items()]
    rows += [_score("calibration", metrics["calibration"], "expected_calibration_error")]
    for name, scores in metrics["baselines"].items():
        rows += [_score(name, scores, "accuracy"), _score(name, scores, "macro_f1")]
    inside = "an interval contains its score"
    return CheckBatch(
        "scores",
        pd.DataFrame(rows),
        [
            *(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column, min_value=0, max_value=1, notes="scores range from 0 to 1"
                )
                for column in ("value", "low", "high")
            ),
            gxe.ExpectColumnValuesToNotBeNull(column="value", notes="a score must be a number"),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="value", column_B="low", or_equal=True, notes=inside),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="high", column_B="value", or_equal=True, notes=inside),
        ],
        key="score",
    )


def _score(owner: str, scores: Mapping[str, Any], name: str) -> dict[str, Any]:
    low, high = scores[f"{name}_interval"]
    return {"score": f"{owner}: {name}", "value": scores[name], "low": low, "high": high}


def _consistency(metrics: Mapping[str, Any], artifact: Path) -> CheckBatch:
    """The metrics compared with a recount of the predictions."""
    written = pq.read_table(artifact / PREDICTIONS, columns=["label", "predicted"]).to_pandas()
    matrix = read_confusion(metrics["confusion"])
    right = int((written["label"] == written["predicted"]).sum())
    report = artifact / REPORT
    rows = [
        ("documents", float(metrics["documents"]), float(len(written))),
        ("confusion: documents", float(matrix.sum()), float(len(written))),
        ("confusion: right predictions", float(np.trace(matrix)), float(right)),
        ("accuracy", float(metrics["accuracy"]), right / max(1, len(written))),
        (
            "baselines: documents",
            float(metrics["documents"]),
            float(pq.read_metadata(artifact / BASELINE_PREDICTIONS).num_rows),
        ),
        (
            "doubtful labels",
            float(metrics["doubtful_labels"]["documents"]),
            float(pq.read_metadata(artifact / DOUBTFUL).num_rows),
        ),
        ("report is complete", float(report.is_file() and b"</html>" in report.read_bytes()[-64:]), 1.0),
    ]
    return CheckBatch(
        "consistency",
        pd.DataFrame(rows, columns=["what", "metrics", "recount"]),
        [
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="metrics", column_B="recount", notes="metrics and predictions belong to the same model"
            )
        ],
        key="what",
    )


def _baselines(metrics: Mapping[str, Any], settings: EvaluationSettings) -> CheckBatch:
    frame = pd.DataFrame({"baseline": list(metrics["baselines"])}, dtype="object")
    return CheckBatch(
        "baselines",
        frame,
        [
            gxe.ExpectColumnDistinctValuesToEqualSet(
                column="baseline",
                value_set=list(settings.baselines),
                notes="a score means little without those of the simple classifiers",
            )
        ],
        key="baseline",
    )


def _floors(metrics: Mapping[str, Any], limits: EvaluationLimits) -> CheckBatch:
    lead = metrics["accuracy"] - metrics["baselines"]["majority"]["accuracy"]
    frame = pd.DataFrame(
        {"accuracy": [metrics["accuracy"]], "macro_f1": [metrics["macro_f1"]], "accuracy_over_majority": [lead]}
    )
    floors = {"accuracy": limits.min_accuracy, "macro_f1": limits.min_macro_f1}
    expectations = [
        gxe.ExpectColumnValuesToBeBetween(column=column, min_value=floor, notes=f"checks.evaluation.min_{column}")
        for column, floor in floors.items()
        if floor is not None
    ]
    if limits.below_majority != "ignore":
        expectations.append(
            gxe.ExpectColumnValuesToBeBetween(
                column="accuracy_over_majority",
                min_value=0,
                notes="a model that is less accurate than the majority class has learned nothing useful",
                severity="critical" if limits.below_majority == "stop" else "warning",
            )
        )
    return CheckBatch("floors", frame, expectations)
