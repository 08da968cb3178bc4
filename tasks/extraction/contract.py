"""The contract of the extracted documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from great_expectations.expectations.expectation import Expectation

from tasks.extraction.schema import DATASET, DOCUMENTS
from tasks.extraction.settings import ExtractionLimits, ExtractionSettings
from tasks.shared.checks.batch import CheckBatch
from tasks.shared.parquet import part_files, read_table

SCHEMAS: Mapping[str, pa.Schema] = {DATASET: DOCUMENTS}
BROWN_DOCUMENTS, BROWN_LABELS = 500, 15


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: ExtractionSettings, limits: ExtractionLimits
) -> Iterator[CheckBatch]:
    """Counts over all documents, then the ids, labels and lengths of each Parquet part."""
    folder = artifact / DATASET
    yield CheckBatch("counts", _counts(folder), _count_expectations(settings, limits))
    for part in part_files(folder):
        yield CheckBatch(f"{DATASET}/{part.stem}", _rows(part), _row_expectations(limits), key="doc_id")


def _counts(folder: Path) -> pd.DataFrame:
    table = read_table(folder, ["doc_id", "label"])
    distinct = pc.count_distinct(table["doc_id"], mode="all").as_py()
    ids = table["doc_id"].combine_chunks()
    return pd.DataFrame(
        {
            "documents": [table.num_rows],
            "labels": [pc.count_distinct(table["label"]).as_py()],
            "repeated_ids": [table.num_rows - distinct],
            "out_of_order": [pc.sum(pc.less(ids[1:], ids[:-1])).as_py() or 0],
        }
    )


def _count_expectations(settings: ExtractionSettings, limits: ExtractionLimits) -> Sequence[Expectation]:
    brown = settings.source == "brown"
    exact_documents = limits.documents or (BROWN_DOCUMENTS if brown else None)
    exact_labels = limits.labels or (BROWN_LABELS if brown else None)
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="documents",
            min_value=exact_documents or limits.min_documents,
            max_value=exact_documents,
            notes="with fewer or more documents than the corpus has, texts were lost or read twice",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="labels",
            min_value=exact_labels or limits.min_labels,
            max_value=exact_labels,
            notes="a classifier needs at least two labels, and a misspelt label counts as another",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="repeated_ids",
            max_value=0,
            notes="later stages join rows by doc_id",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="out_of_order",
            max_value=0,
            notes="later stages read documents and their splits side by side, in the order of doc_id, and lose none",
        ),
    ]


def _rows(part: Path) -> pd.DataFrame:
    with pq.ParquetFile(part) as file:
        batches = [_lengths(batch) for batch in file.iter_batches(batch_size=1024, columns=["doc_id", "label", "text"])]
    return pd.concat(batches, ignore_index=True) if batches else pd.DataFrame(columns=["doc_id", "label", "characters"])


def _lengths(batch: pa.RecordBatch) -> pd.DataFrame:
    characters = pc.utf8_length(batch["text"]).to_pandas()
    return pd.DataFrame(
        {"doc_id": batch["doc_id"].to_pandas(), "label": batch["label"].to_pandas(), "characters": characters}
    )


def _row_expectations(limits: ExtractionLimits) -> Sequence[Expectation]:
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="doc_id", notes="a row without an id cannot be joined or traced"),
        gxe.ExpectColumnValuesToBeUnique(column="doc_id", notes="two texts under one id would be treated as one"),
        gxe.ExpectColumnValuesToNotBeNull(column="label", notes="a text without a label teaches nothing"),
        gxe.ExpectColumnValueLengthsToBeBetween(column="label", min_value=1, notes="an empty label is a missing one"),
        gxe.ExpectColumnValuesToNotBeNull(column="characters", notes="a missing text, unlike an empty one, was lost"),
        gxe.ExpectColumnValuesToBeBetween(
            column="characters",
            min_value=0,
            max_value=limits.max_characters,
            notes="a longer text is likely several documents read as one",
        ),
    ]
