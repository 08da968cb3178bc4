"""Limits of the drift from the champion's texts to today's, beyond which the run warns or stops."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa

from tasks.drift.schema import FIGURES, FIGURES_FILE
from tasks.drift.settings import DriftLimits, DriftSettings
from tasks.shared.checks.batch import CheckBatch

SCHEMAS: Mapping[str, pa.Schema] = {}


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: DriftSettings, limits: DriftLimits
) -> Iterator[CheckBatch]:
    """One row of figures; the limits do not apply to few texts, whose figures vary by chance."""
    drift = json.loads((artifact / FIGURES_FILE).read_text(encoding="utf-8"))
    frame = pd.DataFrame([drift["shifts"]])
    valid = [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=-1e-9, max_value=1 + 1e-9, notes="each figure ranges from 0 to 1"
        )
        for name in FIGURES
    ]
    judged = limits.beyond != "ignore" and drift["now"]["documents"] >= limits.min_documents
    yield CheckBatch("figures", frame, valid + (list(_within(limits)) if judged else []))


def _within(limits: DriftLimits) -> Iterator[gxe.Expectation]:
    for name, title in FIGURES.items():
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name,
            max_value=getattr(limits, f"max_{name}"),
            severity="critical" if limits.beyond == "stop" else "warning",
            notes=f"{title}: today's texts against the champion's training texts (checks.drift.max_{name})",
        )
