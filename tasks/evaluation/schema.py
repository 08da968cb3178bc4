"""The files of an evaluation, and the columns of its tables.

predictions.parquet and baselines.parquet have one row per test document; the tables of findings have plain values that
any page can draw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import pyarrow as pa

from tasks.evaluation.results import Predictions
from tasks.shared.statistics.metrics import Ints

if TYPE_CHECKING:  # scipy: a reused report does not load it
    from tasks.evaluation.findings.doubtful import Doubtful
    from tasks.evaluation.findings.mistakes import Mistake
    from tasks.evaluation.findings.words import StrongWord

PREDICTIONS, METRICS, REPORT = "predictions.parquet", "metrics.json", "report.html"
BASELINE_PREDICTIONS = "baselines.parquet"
DOUBTFUL, MISTAKES, WORDS = "doubtful_labels.parquet", "mistakes.parquet", "strongest_words.parquet"

DOUBTFUL_SCHEMA = pa.schema(
    [
        pa.field("rank", pa.int32(), nullable=False),  # from 1, the most likely mistake
        pa.field("doc_id", pa.string(), nullable=False),  # of the training or validation split
        pa.field("label", pa.string(), nullable=False),
        pa.field("suggested", pa.string(), nullable=False),
        pa.field("label_probability", pa.float64(), nullable=False),  # out of fold
        pa.field("suggested_probability", pa.float64(), nullable=False),
    ]
)
_AMOUNT = pa.field("amount", pa.float64(), nullable=False)  # nats of log-odds, of the predicted label and the true one
_PIECE = pa.struct([pa.field("text", pa.string(), nullable=False), _AMOUNT])
_TERM = pa.struct(
    [
        pa.field("term", pa.string(), nullable=False),  # a word or a pair
        _AMOUNT,
        pa.field("share", pa.float64(), nullable=False),  # of the absolute amounts
    ]
)
MISTAKES_SCHEMA = pa.schema(
    [
        pa.field("rank", pa.int32(), nullable=False),  # from 1, the most confident prediction
        *(pa.field(name, pa.string(), nullable=False) for name in ("doc_id", "label", "predicted")),
        *(pa.field(name, pa.float64(), nullable=False) for name in ("probability", "label_probability")),
        pa.field("pieces", pa.list_(_PIECE), nullable=False),  # the beginning of the text
        pa.field("terms", pa.list_(_TERM), nullable=False),  # of the whole text, the strongest
    ]
)
WORDS_SCHEMA = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),  # from 1
        pa.field("word", pa.string(), nullable=False),  # or a pair
        pa.field("amount", pa.float64(), nullable=False),  # added to the label's logit in its texts, on average, nats
    ]
)


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


def doubtful_table(doubtful: Sequence[Doubtful]) -> pa.Table:
    """A row per text, in the given order."""
    rows = [{"rank": rank, **asdict(each)} for rank, each in enumerate(doubtful, 1)]
    return pa.Table.from_pylist(rows, schema=DOUBTFUL_SCHEMA)


def mistakes_table(mistakes: Sequence[Mistake]) -> pa.Table:
    """A row per mistake, in the given order."""
    plain = ("doc_id", "label", "predicted", "probability", "label_probability")
    rows = [
        {
            "rank": rank,
            **{name: getattr(mistake, name) for name in plain},
            "pieces": [piece._asdict() for piece in mistake.pieces],
            "terms": [{"term": term.text, "amount": term.amount, "share": term.share} for term in mistake.terms],
        }
        for rank, mistake in enumerate(mistakes, 1)
    ]
    return pa.Table.from_pylist(rows, schema=MISTAKES_SCHEMA)


def words_table(words: Sequence[StrongWord]) -> pa.Table:
    """A row per word, in the given order: the strongest of a label first."""
    ranks: Counter[str] = Counter()
    rows = []
    for each in words:
        ranks[each.label] += 1
        rows.append({**asdict(each), "rank": ranks[each.label]})
    return pa.Table.from_pylist(rows, schema=WORDS_SCHEMA)
