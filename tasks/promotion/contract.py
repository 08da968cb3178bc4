"""Expectations on the decision, checked before the champion changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.evaluation.schema import PREDICTIONS
from tasks.promotion.schema import COMPARISON, COMPARISON_SCHEMA, DECISION
from tasks.promotion.settings import PromotionLimits, PromotionSettings
from tasks.shared.checks.batch import CheckBatch

SCHEMAS: Mapping[str, pa.Schema] = {COMPARISON: COMPARISON_SCHEMA}


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: PromotionSettings, limits: PromotionLimits
) -> Iterator[CheckBatch]:
    """The compared documents, then the decision checked against them."""
    compared = pq.read_table(artifact / COMPARISON).to_pandas()
    test = pq.read_table(inputs["report"] / PREDICTIONS, columns=["doc_id"])["doc_id"].to_pylist()
    yield CheckBatch(
        "comparison",
        compared,
        [
            gxe.ExpectColumnValuesToBeUnique(column="doc_id", notes="a duplicated document would count twice"),
            gxe.ExpectColumnValuesToBeInSet(
                column="doc_id", value_set=test, notes="only the test split is new to the candidate"
            ),
        ],
        key="doc_id",
    )
    yield CheckBatch("decision", *_decision(artifact, compared, settings, limits))


def _decision(
    artifact: Path, compared: pd.DataFrame, settings: PromotionSettings, limits: PromotionLimits
) -> tuple[pd.DataFrame, list[gxe.Expectation]]:
    decision = json.loads((artifact / DECISION).read_text(encoding="utf-8"))
    lead = (decision["candidate"] or 0) - (decision["rival"] or 0)
    frame = pd.DataFrame(
        {
            "documents": [decision["documents"]],
            "recount": [len(compared)],
            "unfounded": [bool(decision["promote"]) and lead <= 0],
            "has_reason": [bool(decision["reason"])],
        }
    )
    return frame, [
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="documents", column_B="recount", notes="the decision is about these documents"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="unfounded", value_set=[False], notes="a model that is not ahead must not replace the champion"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="has_reason", value_set=[True], notes="the run's message quotes the reason"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="documents",
            min_value=limits.min_documents,
            severity="warning",
            notes="few documents hardly distinguish candidate and champion (checks.promotion.min_documents)",
        ),
    ]
