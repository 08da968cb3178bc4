"""The contract of cleaned documents, checked before they are split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.expectations.expectation import Expectation

from tasks.cleaning.digest import text_digest
from tasks.cleaning.length import text_length
from tasks.cleaning.schema import CONFLICTS, CONFLICTS_DATASET, DOCUMENTS, DROPPED, DROPPED_DATASET, Reason, dropped_by
from tasks.cleaning.settings import CleaningLimits, CleaningSettings
from tasks.extraction.schema import DATASET
from tasks.shared.checks.batch import CheckBatch, gathered
from tasks.shared.parquet import read_batches, read_table

SCHEMAS: Mapping[str, pa.Schema] = {
    DATASET: DOCUMENTS,
    DROPPED_DATASET: DROPPED,
    CONFLICTS_DATASET: CONFLICTS,
}
CONTROL_CHARACTERS = "[\\x{00}-\\x{09}\\x{0B}-\\x{1F}\\x{7F}-\\x{9F}]"
BATCH_ROWS = 4096


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: CleaningSettings, limits: CleaningLimits
) -> Iterator[CheckBatch]:
    """Lengths and flags of some thousand documents at a time, then ids, groups and counts over all of them."""
    facts = (_text_facts(rows, settings.min_characters) for rows in read_batches(artifact / DATASET, rows=BATCH_ROWS))
    for number, frame in enumerate(gathered(facts)):
        yield CheckBatch(
            f"documents {number}",
            frame,
            list(_text_expectations(settings, limits)),
            key="doc_id",
        )
    ids = read_table(artifact / DATASET, ["doc_id", "group"])
    dropped = read_table(artifact / DROPPED_DATASET, ["doc_id", "reason"])
    all_ids = pa.chunked_array([*ids["doc_id"].chunks, *dropped["doc_id"].chunks], pa.string())
    yield CheckBatch("repeated ids", _repeated_ids(all_ids), [_unique_ids()], key="doc_id")
    yield CheckBatch("groups", _groups(ids), [_known_group()], key="group")
    yield CheckBatch("dropped", dropped.to_pandas(), [_known_reason()], key="doc_id")
    extracted = sum(batch.num_rows for batch in read_batches(inputs["documents"] / DATASET, ["doc_id"]))
    reasons = Counter(dropped["reason"].to_pylist())
    counts = _counts(ids.num_rows, dropped.num_rows, extracted)
    yield CheckBatch("counts", counts, list(_count_expectations(limits, reasons)))


def _text_facts(rows: pa.RecordBatch, min_characters: int) -> pd.DataFrame:
    text = rows["text"]
    characters = pc.utf8_length(text).to_pylist()
    return pd.DataFrame(
        {
            "doc_id": rows["doc_id"].to_pandas(),
            "label": rows["label"].to_pandas(),
            "characters": characters,
            "length": [n if n >= min_characters else text_length(text[i].as_py()) for i, n in enumerate(characters)],
            "has_controls": pc.match_substring_regex(text, CONTROL_CHARACTERS).to_pandas(),
            "is_digest": [
                text_digest(one) == digest
                for one, digest in zip(text.to_pylist(), rows["digest"].to_pylist(), strict=True)
            ],
            "is_blank": pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0).to_pandas(),
        }
    )


def _text_expectations(settings: CleaningSettings, limits: CleaningLimits) -> Iterator[Expectation]:
    for column in ("doc_id", "label"):
        yield gxe.ExpectColumnValueLengthsToBeBetween(
            column=column, min_value=1, notes=f"an empty {column} identifies nothing"
        )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="length",
        min_value=settings.min_characters,
        notes="shorter texts are dropped (cleaning.min_characters)",
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="characters", max_value=limits.max_characters, notes="far longer texts are rarely one document"
    )
    yield gxe.ExpectColumnValuesToBeInSet(
        column="is_blank", value_set=[False], notes="a text of whitespace alone has nothing to learn from"
    )
    yield gxe.ExpectColumnValuesToBeInSet(
        column="is_digest", value_set=[True], notes="later runs know a text by its digest"
    )
    if settings.remove_controls:
        yield gxe.ExpectColumnValuesToBeInSet(
            column="has_controls", value_set=[False], notes="a control character is a sign of a damaged text"
        )


def _repeated_ids(ids: pa.ChunkedArray) -> pd.DataFrame:
    """The ids that occur more than once among kept and dropped documents together; normally none."""
    counts = pa.table({"doc_id": ids}).group_by("doc_id").aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    frame: pd.DataFrame = repeated.rename_columns(["doc_id", "times"]).to_pandas()
    return frame


def _unique_ids() -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column="times", max_value=1, notes="a document is kept or dropped, once; later stages join by its id"
    )


def _groups(ids: pa.Table) -> pd.DataFrame:
    """Every group, and whether a kept document has its name."""
    groups = pc.unique(ids["group"])
    return pd.DataFrame({"group": groups.to_pandas(), "has_document": pc.is_in(groups, ids["doc_id"]).to_pandas()})


def _known_group() -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(
        column="has_document", value_set=[True], notes="a group is named after its first document"
    )


def _known_reason() -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(
        column="reason", value_set=list(get_args(Reason)), notes="every dropped document has one of the known reasons"
    )


def _counts(kept: int, dropped: int, extracted: int) -> pd.DataFrame:
    share = dropped / extracted if extracted else 0.0
    return pd.DataFrame(
        {"kept": [kept], "kept_or_dropped": [kept + dropped], "extracted": [extracted], "dropped_share": [share]}
    )


def _count_expectations(limits: CleaningLimits, reasons: Mapping[str, int]) -> Iterator[Expectation]:
    yield gxe.ExpectColumnPairValuesToBeEqual(
        column_A="kept_or_dropped", column_B="extracted", notes="no document is lost"
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="dropped_share",
        max_value=limits.max_dropped_share,
        notes=f"dropped: {dropped_by(reasons)}; correct the source or that setting, or raise "
        "checks.cleaning.max_dropped_share",
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="kept",
        min_value=limits.min_documents,
        notes=f"fewer documents cannot be split; dropped: {dropped_by(reasons)}",
    )
