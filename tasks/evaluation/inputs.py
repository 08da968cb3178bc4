"""Reads what an evaluation needs from the artifacts before it, and nothing that it does not need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.evaluation.results import Reach, Validated
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_batches
from tasks.shared.statistics.metrics import Floats, Ints
from tasks.training.schema import CONFIG, GRADIENTS, GRADIENTS_FILE

PARTS = ("train", "validation", "test")


def read_texts(cleaned: Path, doc_ids: Iterable[str]) -> dict[str, str]:
    """The texts of these documents, by doc_id. Raises ArtifactError where one is missing."""
    wanted = set(doc_ids)
    texts: dict[str, str] = {}
    for batch in read_batches(cleaned / "documents", ("doc_id", "text")):
        chosen = batch.filter(pa.array([doc_id in wanted for doc_id in batch["doc_id"].to_pylist()], pa.bool_()))
        texts |= dict(zip(chosen["doc_id"].to_pylist(), chosen["text"].to_pylist(), strict=True))
    missing = sorted(wanted - texts.keys())
    if missing:
        raise ArtifactError(
            f"{cleaned / 'documents'}: document {missing[0]!r} has tokens but no text here (and {len(missing) - 1} "
            "more); tokens and texts come from different runs, run again"
        )
    return texts


def count_labels(splits: Path, label_names: Sequence[str]) -> dict[str, Ints]:
    """Documents of each label [classes], by part."""
    number = {name: i for i, name in enumerate(label_names)}
    counts = {part: np.zeros(len(label_names), np.int64) for part in PARTS}
    for batch in read_batches(splits / "splits", ("label", "split")):
        for label, part in zip(batch["label"].to_pylist(), batch["split"].to_pylist(), strict=True):
            if part in counts and label in number:
                counts[part][number[label]] += 1
    return counts


def validated(history: Mapping[str, Floats], documents: int) -> Validated | None:
    """What a training history says of that many validation documents; None where it says nothing."""
    kept = np.flatnonzero(history.get("kept", np.zeros(0)) == 1)
    if not len(kept):
        return None
    return Validated(documents, *(float(history[f"validation_{name}"][kept[0]]) for name in ("accuracy", "macro_f1")))


def read_gradients(model: Path) -> list[Reach] | None:
    """How far gradients reached, by epoch, layer, direction and state; None where the model does not say."""
    path = model / GRADIENTS_FILE
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
        Reach(*key, *(np.array([row[column] for row in group], np.float64) for column in columns))
        for key, group in groups.items()
    ]


def read_clip_norm(model: Path) -> float | None:
    """From which norm on gradients were clipped; None where the model does not say."""
    try:
        return float(json.loads((model / CONFIG).read_text(encoding="utf-8"))["settings"]["clip_norm"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_lineage(artifact: Path) -> Mapping[str, Any]:
    """What an artifact was made from, stage by stage; empty where it does not say."""
    try:
        record = json.loads((artifact / "artifact.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    lineage = record.get("lineage") if isinstance(record, dict) else None
    return lineage if isinstance(lineage, dict) else {}
