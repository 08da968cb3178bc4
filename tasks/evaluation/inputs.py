"""Reads the inputs of an evaluation from the artifacts of earlier stages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.cleaning.conflicts import describe
from tasks.cleaning.labels import SHOWN, differ_by_case
from tasks.cleaning.schema import CONFLICTS_DATASET
from tasks.evaluation.results import GradientProfile
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_table
from tasks.shared.statistics.metrics import Ints
from tasks.splitting.documents import read_splits
from tasks.splitting.schema import SPLITS
from tasks.training.schema import GRADIENTS, GRADIENTS_FILE


def label_notices(cleaned: Path, label_names: Sequence[str]) -> list[str]:
    """A sentence about texts with more than one label, and one about labels that differ by case alone."""
    conflicts: dict[str, dict[str, str]] = {}
    if (cleaned / CONFLICTS_DATASET).exists():  # not in artifacts of version 0.1
        for row in read_table(cleaned / CONFLICTS_DATASET).to_pylist():
            conflicts.setdefault(row["digest"], {})[row["source"]] = row["label"]
    notices = [f"{describe(conflicts)} (dataset {CONFLICTS_DATASET} of the cleaned artifact)."] if conflicts else []
    alike = [" and ".join(map(repr, names)) for names in differ_by_case(label_names)]
    if alike:
        more = f", and {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
        notices.append(f"Labels that differ by case alone: {', '.join(alike[:SHOWN])}{more}.")
    return notices


def count_labels(splits: Path, label_names: Sequence[str]) -> dict[str, Ints]:
    """Documents of each label [classes], by split."""
    counts = Counter((document.split, document.label) for document in read_splits(splits))
    return {split: np.array([counts[split, label] for label in label_names], np.int64) for split in SPLITS}


def read_gradient_profiles(training: Path) -> list[GradientProfile] | None:
    """Gradient profiles by epoch, layer, direction and state; None if there is no record of them."""
    path = training / GRADIENTS_FILE
    if not path.exists():
        return None
    try:
        rows = pq.read_table(path, schema=GRADIENTS).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not readable as Parquet ({error}); train again") from error
    groups: dict[tuple[int, int, str, str], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["distance"]):
        groups.setdefault((row["epoch"], row["layer"], row["direction"], row["state"]), []).append(row)
    columns = ("distance", "norm", "smallest", "largest")
    return [
        GradientProfile(*key, *(np.array([row[column] for row in group], np.float64) for column in columns))
        for key, group in groups.items()
    ]


def read_max_grad_norm(training: Path) -> float | None:
    """The norm above which gradients were clipped; None if unknown."""
    try:
        return float(read_lineage(training)["training"]["settings"]["max_grad_norm"])
    except (KeyError, TypeError, ValueError):
        return None


def read_lineage(artifact: Path) -> Mapping[str, Any]:
    """Settings and fingerprints of the stages before an artifact; empty if unknown."""
    try:
        record = json.loads((artifact / "artifact.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    lineage = record.get("lineage") if isinstance(record, dict) else None
    return lineage if isinstance(lineage, dict) else {}
