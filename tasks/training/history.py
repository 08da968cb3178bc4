"""Reads the training history as curves over the epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.shared.errors import ArtifactError
from tasks.shared.statistics.metrics import Floats
from tasks.training.schema import HISTORY_FILE


def read_history(training: Path) -> dict[str, Floats]:
    """The numeric columns of the history by epoch, [epochs]: the mean over the networks; of the seconds the sum.

    Empty if the folder has no history, or nothing was trained.
    """
    path = training / HISTORY_FILE
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not readable as Parquet ({error}); train again") from error
    epochs = table["epoch"].to_numpy()
    numeric = [f.name for f in table.schema if pa.types.is_primitive(f.type) and f.name not in {"fold", "epoch"}]
    columns = {name: np.asarray(table[name].to_numpy(), np.float64) for name in numeric}
    numbers = np.unique(epochs)
    if not len(numbers):
        return {}
    curves = {name: np.array([values[epochs == at].mean() for at in numbers]) for name, values in columns.items()}
    if "seconds" in columns:
        curves["seconds"] = np.array([columns["seconds"][epochs == at].sum() for at in numbers])
    return curves | {"epoch": numbers.astype(np.float64)}
