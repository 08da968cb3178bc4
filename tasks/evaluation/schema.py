"""The columns of predictions.parquet (a probability per label) and baselines.parquet: a row per test document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from tasks.evaluation.results import Predictions
from tasks.shared.statistics.metrics import Ints

PREDICTIONS, METRICS, REPORT = "predictions.parquet", "metrics.json", "report.html"
ANSWERS = "baselines.parquet"


def probability_column(label: str) -> str:
    """The column that holds a label's probability."""
    return f"probability_{label}"


def predictions_schema(label_names: Sequence[str]) -> pa.Schema:
    """One row per test document, sorted by doc_id; the probabilities of a row sum to one."""
    names = [pa.field(name, pa.string(), nullable=False) for name in ("doc_id", "label", "predicted")]
    shares = [pa.field(probability_column(label), pa.float64(), nullable=False) for label in label_names]
    return pa.schema([*names, *shares])


def predictions_table(predictions: Predictions, label_names: Sequence[str]) -> pa.Table:
    """The predictions as they are written; documents come as they are given."""
    columns = [
        pa.array(predictions.doc_ids, pa.string()),
        pa.array([label_names[i] for i in predictions.labels], pa.string()),
        pa.array([label_names[i] for i in predictions.predicted], pa.string()),
        *(pa.array(predictions.probabilities[:, i], pa.float64()) for i in range(len(label_names))),
    ]
    return pa.Table.from_arrays(columns, schema=predictions_schema(label_names))


def answers_table(doc_ids: Sequence[str], answers: Mapping[str, Ints], label_names: Sequence[str]) -> pa.Table:
    """The label that each baseline (a column) gives each test document."""
    labels = {name: [label_names[i] for i in predicted] for name, predicted in answers.items()}
    columns = {"doc_id": list(doc_ids), **labels}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
