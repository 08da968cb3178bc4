"""The columns of predictions.parquet and baselines.parquet, each with one row per test document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from tasks.evaluation.results import Predictions
from tasks.shared.statistics.metrics import Ints

PREDICTIONS, METRICS, REPORT = "predictions.parquet", "metrics.json", "report.html"
BASELINE_PREDICTIONS = "baselines.parquet"


def probability_column(label: str) -> str:
    """The column of a label's probability."""
    return f"probability_{label}"


def predictions_schema(label_names: Sequence[str]) -> pa.Schema:
    """One row per test document, sorted by doc_id; the probabilities of a row sum to one."""
    names = [pa.field(name, pa.string(), nullable=False) for name in ("doc_id", "label", "predicted")]
    probabilities = [pa.field(probability_column(label), pa.float64(), nullable=False) for label in label_names]
    return pa.schema([*names, *probabilities])


def predictions_table(predictions: Predictions, label_names: Sequence[str]) -> pa.Table:
    """The predictions as a table, in the given order of documents."""
    columns = [
        pa.array(predictions.doc_ids, pa.string()),
        pa.array([label_names[i] for i in predictions.labels], pa.string()),
        pa.array([label_names[i] for i in predictions.predicted], pa.string()),
        *(pa.array(predictions.probabilities[:, i], pa.float64()) for i in range(len(label_names))),
    ]
    return pa.Table.from_arrays(columns, schema=predictions_schema(label_names))


def baselines_table(doc_ids: Sequence[str], predictions: Mapping[str, Ints], label_names: Sequence[str]) -> pa.Table:
    """The predicted labels of each baseline, a column each."""
    labels = {name: [label_names[i] for i in predicted] for name, predicted in predictions.items()}
    columns = {"doc_id": list(doc_ids), **labels}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
