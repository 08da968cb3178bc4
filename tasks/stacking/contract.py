"""Expectations of the model folder before it is evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa

from tasks.shared.checks.batch import CheckBatch
from tasks.stacking.settings import StackingLimits, StackingSettings
from tasks.stacking.stacked import StackedClassifier, read_model

SCHEMAS: Mapping[str, pa.Schema] = {}
SAMPLE = "The quick brown fox jumps over the lazy dog."


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: StackingSettings, limits: StackingLimits
) -> Iterator[CheckBatch]:
    """The weights, and the folder as a whole: it loads, predicts, and is of reasonable size."""
    model = read_model(artifact)
    weights = pd.DataFrame({"member": list(model["weights"]), "weight": list(model["weights"].values())})
    yield CheckBatch(
        "weights",
        weights,
        [
            gxe.ExpectTableRowCountToBeBetween(min_value=1, notes="a stack has a member"),
            gxe.ExpectColumnValuesToNotBeNull(column="weight", notes="NaN makes every prediction NaN"),
            gxe.ExpectColumnValuesToBeBetween(
                column="weight", min_value=0, notes="a member below zero would speak against what it has learned"
            ),
        ],
        key="member",
    )
    answer = StackedClassifier.load(artifact, device="cpu").log_probabilities([SAMPLE])
    size = sum(file.stat().st_size for file in artifact.rglob("*") if file.is_file())
    folder = pd.DataFrame([{"finite": float(pd.notna(answer).all()), "megabytes": size / 1e6}])
    yield CheckBatch(
        "folder",
        folder,
        [
            gxe.ExpectColumnValuesToBeBetween(
                column="finite", min_value=1, notes="the folder is self-contained: it loads and predicts"
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="megabytes",
                max_value=limits.max_megabytes,
                severity="warning",
                notes="the limit in the settings",
            ),
        ],
    )
