"""What holds of an evaluation: complete, consistent with the test part, and no worse than the limits allow."""

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

from tasks.evaluation.schema import ANSWERS, METRICS, PREDICTIONS, REPORT, predictions_schema
from tasks.evaluation.settings import EvaluationLimits, EvaluationSettings
from tasks.extraction.document import read_documents
from tasks.shared.checks.batch import Batch
from tasks.shared.errors import ArtifactError
from tasks.tokenization.schema import DATASET
from tasks.tokenization.store import read_header

SCHEMAS: Mapping[str, pa.Schema] = {}
"""The columns of predictions.parquet are named for the labels, so the first batch judges them."""
ROWS = 50_000
TOLERANCE = 1e-9
"""By how much the probabilities of a row may miss one: rounding of float64, with room to spare."""


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: EvaluationSettings, limits: EvaluationLimits
) -> Iterator[Batch]:
    """Columns first: where they differ, nothing else of the predictions can be judged."""
    label_names = read_header(inputs["tokens"]).label_names
    columns = _columns(artifact / PREDICTIONS, predictions_schema(label_names))
    yield columns
    if not columns.frame["written"].equals(columns.frame["promised"]):
        return
    metrics = _read_metrics(artifact / METRICS)
    yield from _probabilities(artifact / PREDICTIONS, label_names)
    yield _documents(artifact / PREDICTIONS, inputs["tokens"])
    yield _scores(metrics)
    yield _consistency(metrics, artifact)
    yield _baselines(metrics, settings)
    yield _floors(metrics, limits)


def _columns(path: Path, promised: pa.Schema) -> Batch:
    try:
        written = {field.name: str(field.type) for field in pq.read_schema(path)}
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not readable as Parquet ({error})") from error
    wanted = {field.name: str(field.type) for field in promised}
    rows = [(name, wanted.get(name, "nothing"), written.get(name, "nothing")) for name in wanted | written]
    return Batch(
        "columns",
        pd.DataFrame(rows, columns=["column", "promised", "written"]),
        [
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="promised", column_B="written", notes="readers look up a label's probability by its column"
            )
        ],
        key="column",
    )


def _probabilities(path: Path, label_names: tuple[str, ...]) -> Iterator[Batch]:
    reasons = {
        "lowest": "a probability is not negative",
        "total": "exactly one of the labels is the document's, so their probabilities sum to one",
    }
    with pq.ParquetFile(path) as file:
        for number, rows in enumerate(file.iter_batches(batch_size=ROWS)):
            shares = np.column_stack([rows[i].to_numpy() for i in range(3, rows.num_columns)])
            likeliest = [label_names[i] for i in shares.argmax(1)]
            frame = pd.DataFrame(
                {
                    "doc_id": rows["doc_id"].to_pylist(),
                    "predicted": rows["predicted"].to_pylist(),
                    "likeliest": likeliest,
                    "lowest": shares.min(1),
                    "total": shares.sum(1),
                }
            )
            expectations = [
                gxe.ExpectColumnValuesToNotBeNull(column="total", notes="NaN is no probability"),
                gxe.ExpectColumnValuesToBeBetween(column="lowest", min_value=0, notes=reasons["lowest"]),
                gxe.ExpectColumnValuesToBeBetween(
                    column="total", min_value=1 - TOLERANCE, max_value=1 + TOLERANCE, notes=reasons["total"]
                ),
                gxe.ExpectColumnPairValuesToBeEqual(
                    column_A="predicted", column_B="likeliest", notes="the prediction is the likeliest label"
                ),
            ]
            yield Batch(f"probabilities/{number:05d}", frame, expectations, key="doc_id")


def _documents(path: Path, tokens: Path) -> Batch:
    """Every document of the test part once, with its label, and no other."""
    expected = pd.DataFrame(_test_documents(tokens), columns=["doc_id", "label"])
    written = pq.read_table(path, columns=["doc_id", "label"]).to_pandas()
    frame = expected.merge(written, on="doc_id", how="outer", suffixes=("", "_written")).fillna("absent")
    return Batch(
        "documents",
        frame,
        [
            gxe.ExpectColumnValuesToBeUnique(column="doc_id", notes="a document counted twice weighs twice"),
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="label",
                column_B="label_written",
                notes="the test part, all of it and nothing else, is what is measured",
            ),
        ],
        key="doc_id",
    )


def _test_documents(tokens: Path) -> Iterator[tuple[str, str]]:
    for document in read_documents(tokens, ("doc_id", "label", "split"), DATASET):
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


def _scores(metrics: Mapping[str, Any]) -> Batch:
    rows = [_score("model", metrics, "accuracy"), _score("model", metrics, "macro_f1")]
    rows += [_score(label, found, "f1") for label, found in metrics["per_label"].items()]
    rows += [_score("calibration", metrics["calibration"], "expected_calibration_error")]
    for name, found in metrics["baselines"].items():
        rows += [_score(name, found, "accuracy"), _score(name, found, "macro_f1")]
    inside = "an interval holds the score that it belongs to"
    return Batch(
        "scores",
        pd.DataFrame(rows),
        [
            *(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column, min_value=0, max_value=1, notes="scores are shares, from 0 to 1"
                )
                for column in ("value", "low", "high")
            ),
            gxe.ExpectColumnValuesToNotBeNull(column="value", notes="a score that is no number says nothing"),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="value", column_B="low", or_equal=True, notes=inside),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="high", column_B="value", or_equal=True, notes=inside),
        ],
        key="score",
    )


def _score(owner: str, found: Mapping[str, Any], name: str) -> dict[str, Any]:
    low, high = found[f"{name}_interval"]
    return {"score": f"{owner}: {name}", "value": found[name], "low": low, "high": high}


def _consistency(metrics: Mapping[str, Any], artifact: Path) -> Batch:
    """What the metrics say against what the predictions say, counted anew."""
    written = pq.read_table(artifact / PREDICTIONS, columns=["label", "predicted"]).to_pandas()
    matrix = np.array(metrics["confusion"]["matrix"])
    right = int((written["label"] == written["predicted"]).sum())
    report = artifact / REPORT
    rows = [
        ("documents", float(metrics["documents"]), float(len(written))),
        ("confusion: documents", float(matrix.sum()), float(len(written))),
        ("confusion: right predictions", float(np.trace(matrix)), float(right)),
        ("accuracy", float(metrics["accuracy"]), right / max(1, len(written))),
        ("baselines: documents", float(metrics["documents"]), float(pq.read_metadata(artifact / ANSWERS).num_rows)),
        ("report is complete", float(report.is_file() and b"</html>" in report.read_bytes()[-64:]), 1.0),
    ]
    return Batch(
        "consistency",
        pd.DataFrame(rows, columns=["what", "metrics", "recount"]),
        [
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="metrics", column_B="recount", notes="metrics and predictions are of the same model"
            )
        ],
        key="what",
    )


def _baselines(metrics: Mapping[str, Any], settings: EvaluationSettings) -> Batch:
    frame = pd.DataFrame({"baseline": list(metrics["baselines"])}, dtype="object")
    return Batch(
        "baselines",
        frame,
        [
            gxe.ExpectColumnDistinctValuesToEqualSet(
                column="baseline",
                value_set=list(settings.baselines),
                notes="a score means little without the simple classifiers beside it",
            )
        ],
        key="baseline",
    )


def _floors(metrics: Mapping[str, Any], limits: EvaluationLimits) -> Batch:
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
                notes="a model that is right less often than the majority class has learned nothing of use",
                severity="critical" if limits.below_majority == "stop" else "warning",
            )
        )
    return Batch("floors", frame, expectations)
