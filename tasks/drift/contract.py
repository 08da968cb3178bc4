"""How far today's texts may have moved from the champion's before people are told, or the run stops."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa

from tasks.drift.schema import FIGURES, FIGURES_FILE
from tasks.drift.settings import DriftLimits, DriftSettings
from tasks.shared.checks.batch import Batch

SCHEMAS: Mapping[str, pa.Schema] = {}


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: DriftSettings, limits: DriftLimits
) -> Iterator[Batch]:
    """One row of figures; too few texts are not judged, for chance alone would move them."""
    found = json.loads((artifact / FIGURES_FILE).read_text(encoding="utf-8"))
    frame = pd.DataFrame([found["shifts"]])
    sound = [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=-1e-9, max_value=1 + 1e-9, notes="each figure goes from 0 to 1"
        )
        for name in FIGURES
    ]
    judged = limits.beyond != "ignore" and found["now"]["documents"] >= limits.min_documents
    yield Batch("figures", frame, sound + (list(_within(limits)) if judged else []))


def _within(limits: DriftLimits) -> Iterator[gxe.Expectation]:
    for name, title in FIGURES.items():
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name,
            max_value=getattr(limits, f"max_{name}"),
            severity="critical" if limits.beyond == "stop" else "warning",
            notes=f"{title}: today's texts are no longer like those that the champion learned from "
            f"(checks.drift.max_{name})",
        )
