"""The contract of the splits, checked before anything is learned from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa
from great_expectations.expectations.expectation import Expectation

from tasks.extraction import schema as extraction
from tasks.extraction.rows import listed
from tasks.shared.checks.batch import CheckBatch
from tasks.shared.parquet import read_table
from tasks.splitting.rows import read_rows
from tasks.splitting.schema import DATASET, SPLITS, SPLITS_SCHEMA
from tasks.splitting.settings import SplittingLimits, SplittingSettings
from tasks.splitting.units import small_labels, units

SCHEMAS: Mapping[str, pa.Schema] = {DATASET: SPLITS_SCHEMA}
PREVIOUS = "previous"
Severity = Literal["critical", "warning"]
"""Earlier splits are continued, whatever became of their texts and labels since: a share that is missed only warns."""


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: SplittingSettings, limits: SplittingLimits
) -> Iterator[CheckBatch]:
    """Aggregates over ids, labels and groups, which are small compared with the texts.

    If the corpus comes with splits, these are what must hold; else the shares of the settings.
    """
    splits = read_table(artifact / DATASET).to_pandas()
    columns = ["doc_id", "label", "group", "given_split"]
    cleaned = read_table(inputs["cleaned"] / extraction.DATASET, columns).to_pandas()
    if cleaned["given_split"].notna().any():
        yield from _given_batches(cleaned, splits, settings)
        return
    rows = read_rows(inputs["cleaned"], settings.seed)
    all_units = units(rows)
    numbers = small_labels(rows, all_units, settings.fold.count if settings.fold else len(SPLITS))
    small = set(rows.labels.names.take(pa.array(list(numbers), pa.int32())).to_pylist())
    expected = cleaned
    if small and settings.small_labels == "drop":
        expected = cleaned[~cleaned["label"].isin(small)]
        rows = rows.keep(~np.isin(rows.labels.of, list(numbers)))
        all_units = units(rows)  # without them a group may count under another label
    labels = rows.labels.names.take(pa.array(all_units.labels[all_units.of]))
    label_of = dict(zip(expected["group"], labels.to_pylist(), strict=True))
    yield _counts_batch(cleaned, expected, splits)
    yield CheckBatch("documents", _compare(expected, splits), list(_document_expectations()), key="doc_id")
    yield CheckBatch("groups", _group_rows(splits), [_one_split()], key="group")
    stratified = _stratified(splits, label_of, small)
    drawn: Severity = "warning" if PREVIOUS in inputs else "critical"
    yield CheckBatch("labels", _label_rows(stratified, settings), list(_label_expectations(limits, drawn)), key="label")
    yield CheckBatch("splits", _split_rows(stratified, settings), list(_split_expectations(limits, drawn)), key="split")


def _given_batches(cleaned: pd.DataFrame, splits: pd.DataFrame, settings: SplittingSettings) -> Iterator[CheckBatch]:
    trained = set(cleaned["label"][cleaned["given_split"] == "train"])
    expected = cleaned[cleaned["label"].isin(trained)] if settings.small_labels != "fail" else cleaned
    yield _counts_batch(cleaned, expected, splits)
    documents = list(_document_expectations())
    yield CheckBatch("documents", _compare(expected, splits), documents, key="doc_id")
    rows = splits.merge(cleaned[["doc_id", "given_split"]], on="doc_id")
    drawn = "validation" not in set(cleaned["given_split"])
    moved = drawn & (rows["given_split"] == "train") & (rows["split"] == "validation")
    rows["kept"] = (rows["split"] == rows["given_split"]) | moved
    kept = gxe.ExpectColumnValuesToBeInSet(
        column="kept", value_set=[True], notes="figures on other splits do not compare with published ones"
    )
    yield CheckBatch("given", rows[["doc_id", "given_split", "split", "kept"]], [kept], key="doc_id")
    within = _group_rows(rows[rows["given_split"] == "train"])
    across = gxe.ExpectColumnValuesToBeBetween(
        column="splits",
        max_value=1,
        severity="warning",
        notes="near duplicates in two of the given splits make the test easier; they are counted, and stay",
    )
    yield CheckBatch("drawn groups", within, [_one_split()], key="group")
    yield CheckBatch("groups", _group_rows(splits), [across], key="group")
    learned = gxe.ExpectColumnValuesToBeBetween(
        column="train", min_value=1, notes="a label without training texts is not learned"
    )
    counts = _counts(splits).reset_index().astype({"label": "str"})
    yield CheckBatch("labels", counts[["label", *SPLITS]], [learned], key="label")
    sizes = pd.DataFrame(
        {"split": list(SPLITS), "documents": [int((splits["split"] == name).sum()) for name in SPLITS]}
    )
    yield CheckBatch("splits", sizes, [_not_empty()], key="split")


def _counts_batch(cleaned: pd.DataFrame, expected: pd.DataFrame, splits: pd.DataFrame) -> CheckBatch:
    """One row: the documents that were read, and those that are in a split or have a dropped label."""
    dropped = len(cleaned) - len(expected)
    labels = sorted(set(cleaned["label"]) - set(expected["label"]))
    counts = pd.DataFrame({"cleaned": [len(cleaned)], "in_splits_or_dropped": [len(splits) + dropped]})
    reason = (
        f"; dropped by splitting.small_labels: {dropped:,} of {len(labels)} labels ({listed(labels)})"
        if dropped
        else ""
    )
    equal = gxe.ExpectColumnPairValuesToBeEqual(
        column_A="in_splits_or_dropped", column_B="cleaned", notes=f"no document is lost{reason}"
    )
    return CheckBatch("counts", counts, [equal])


def _compare(expected: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """One row per document of either side: how often it is assigned, and whether it should be."""
    assigned = splits.groupby("doc_id").agg(times=("split", "size"), split=("split", "first"))
    rows = expected[["doc_id"]].drop_duplicates().merge(assigned, on="doc_id", how="outer", indicator="side")
    rows["times"] = rows["times"].fillna(0).astype("int64")
    rows["side"] = rows["side"].astype("str").replace({"both": "both", "left_only": "missing", "right_only": "extra"})
    return rows


def _document_expectations() -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeInSet(
        column="side",
        value_set=["both"],
        notes="every cleaned document has a split, except those of dropped labels; no other document has one",
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="times", max_value=1, notes="a document in two splits is both learned from and tested on"
    )
    yield gxe.ExpectColumnValuesToBeInSet(
        column="split", value_set=list(SPLITS), notes="later stages know these three splits"
    )


def _group_rows(splits: pd.DataFrame) -> pd.DataFrame:
    return splits.groupby("group")["split"].nunique().rename("splits").reset_index()


def _one_split() -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column="splits", max_value=1, notes="near duplicates in two splits leak training texts into the test"
    )


def _shares(settings: SplittingSettings) -> dict[str, float]:
    """The shares that the splits should have; with folds, the rest is split in the ratio of train to validation."""
    if settings.fold is None:
        return {name: getattr(settings, name) for name in SPLITS}
    test = 1 / settings.fold.count
    rest = (1 - test) / (settings.train + settings.validation)
    return {"train": settings.train * rest, "validation": settings.validation * rest, "test": test}


def _ideal(sizes: pd.Series[int], shares: Mapping[str, float]) -> pd.DataFrame:
    """Documents of each label that each split should have: its share, at least one, at the largest split's cost."""
    ideal = pd.DataFrame({name: (sizes * share).clip(lower=1) for name, share in shares.items()})
    largest = max(shares, key=lambda name: shares[name])
    ideal[largest] = sizes - ideal.drop(columns=largest).sum(axis=1)
    return ideal


def _stratified(splits: pd.DataFrame, label_of: Mapping[str, str], small: Collection[str]) -> pd.DataFrame:
    """The rows of the labels that are in all splits, each with the label that its group counts under."""
    rows = splits.assign(label=splits["group"].map(label_of))
    return rows[~rows["label"].isin(small)]


def _counts(stratified: pd.DataFrame) -> pd.DataFrame:
    counts = stratified.groupby(["label", "split"]).size().unstack(fill_value=0)
    return counts.reindex(columns=list(SPLITS), fill_value=0)


def _label_rows(stratified: pd.DataFrame, settings: SplittingSettings) -> pd.DataFrame:
    """Per label: in how many splits it is, and by how many documents the worst split is off.

    The size of the label's largest group beyond one document is tolerated, because a group cannot be split.
    """
    counts = _counts(stratified)
    off = (counts - _ideal(counts.sum(axis=1), _shares(settings))).abs().max(axis=1)
    largest = stratified.groupby(["label", "group"]).size().groupby("label").max()
    return pd.DataFrame(
        {
            "label": counts.index.astype("str"),
            "splits": (counts > 0).sum(axis=1).to_numpy(),
            "documents_off": (off - (largest - 1)).clip(lower=0).to_numpy(),
        }
    )


def _label_expectations(limits: SplittingLimits, drawn: Severity) -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeBetween(
        column="splits",
        min_value=len(SPLITS),
        notes="a label that is missing from a split is not learned, or not tested",
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="documents_off",
        max_value=limits.max_documents_off,
        severity=drawn,
        notes="each split has its share of each label's documents, apart from rounding; if texts were removed or their "
        "labels corrected since earlier splits were made, another splitting.seed starts afresh",
    )


def _split_rows(stratified: pd.DataFrame, settings: SplittingSettings) -> pd.DataFrame:
    """Per split: its documents, and how far its share of all of them is off."""
    counts = _counts(stratified)
    off = (counts.sum() - _ideal(counts.sum(axis=1), _shares(settings)).sum()).abs() / max(1, len(stratified))
    return pd.DataFrame(
        {"split": list(SPLITS), "documents": counts.sum().to_numpy(), "share_off": off[list(SPLITS)].to_numpy()}
    )


def _not_empty() -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column="documents", min_value=1, notes="no split may be empty")


def _split_expectations(limits: SplittingLimits, drawn: Severity) -> Iterator[Expectation]:
    yield _not_empty()
    yield gxe.ExpectColumnValuesToBeBetween(
        column="share_off",
        max_value=limits.max_share_off,
        severity=drawn,
        notes="train, validation and test have the shares that the settings ask for",
    )
