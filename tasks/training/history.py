"""Reads a model's training history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.errors import ArtifactError
from tasks.shared.statistics.metrics import Floats
from tasks.training.schema import HISTORY_FILE


def read_history(model: Path) -> dict[str, Floats]:
    """The numeric columns of the training history; empty if the model has none."""
    path = model / HISTORY_FILE
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not readable as Parquet ({error}); train again") from error
    numeric = [field.name for field in table.schema if pa.types.is_primitive(field.type)]
    return {name: np.array(table[name].to_pylist(), np.float64) for name in numeric}
