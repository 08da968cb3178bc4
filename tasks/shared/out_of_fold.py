"""Out-of-fold predictions as Parquet: for each labelled text the log-probabilities of a model that never saw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.errors import ArtifactError
from tasks.shared.statistics.log_probabilities import Scores
from tasks.shared.statistics.metrics import Ints

OUT_OF_FOLD = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),
        # of the labels in order of their names, in nats
        pa.field("log_probabilities", pa.list_(pa.field("element", pa.float32())), nullable=False),
    ]
)


@dataclass(frozen=True)
class OutOfFold:
    """One member's out-of-fold predictions, in order of doc_id."""

    doc_ids: Sequence[str]
    labels: Ints
    """Class ids, [texts]."""
    scores: Scores
    """Log-probabilities [texts, labels]."""


def write_out_of_fold(
    path: Path, doc_ids: Sequence[str], labels: Ints, folds: Ints, label_names: Sequence[str], scores: Scores
) -> None:
    """Writes one row per text; labels and folds are [texts], scores [texts, labels]."""
    offsets = pa.array(np.arange(len(scores) + 1, dtype=np.int32) * scores.shape[1])
    lists = pa.ListArray.from_arrays(
        offsets, pa.array(scores.astype(np.float32).ravel()), type=OUT_OF_FOLD.field(3).type
    )
    columns = [
        pa.array(doc_ids, pa.string()),
        pa.array([label_names[label] for label in labels.tolist()], pa.string()),
        pa.array(folds, pa.int32()),
        lists,
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=OUT_OF_FOLD), path, compression="zstd")


def read_out_of_fold(path: Path, label_names: Sequence[str]) -> OutOfFold:
    """What `write_out_of_fold` has written. Raises ArtifactError for a missing or damaged file."""
    try:
        table = pq.read_table(path, schema=OUT_OF_FOLD)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not readable as Parquet ({error}); delete its folder and run again") from error
    number = {name: index for index, name in enumerate(label_names)}
    labels = np.array([number[name] for name in table["label"].to_pylist()], np.int64)
    flat = table["log_probabilities"].combine_chunks().flatten().to_numpy()
    return OutOfFold(table["doc_id"].to_pylist(), labels, flat.reshape(len(labels), len(label_names)))
