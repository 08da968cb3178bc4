"""What must hold of a division before anything is learned from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
from great_expectations.expectations.expectation import Expectation

from tasks.shared.checks.batch import Batch
from tasks.shared.parquet import read_table
from tasks.splitting.divide import PARTS
from tasks.splitting.schema import SPLITS
from tasks.splitting.settings import SplittingLimits, SplittingSettings
from tasks.splitting.units import Document, small_labels, units

SCHEMAS: Mapping[str, pa.Schema] = {"splits": SPLITS}


def batches(
    artifact: Path, inputs: Mapping[str, Path], settings: SplittingSettings, limits: SplittingLimits
) -> Iterator[Batch]:
    """Aggregates over ids, labels and groups, which are small beside the texts."""
    splits = read_table(artifact / "splits").to_pandas()
    cleaned = read_table(inputs["cleaned"] / "documents", ["doc_id", "label", "group"]).to_pandas()
    documents = [Document(*row) for row in cleaned.itertuples(index=False)]
    small = small_labels(documents, settings.fold.count if settings.fold else len(PARTS))
    expected = cleaned[~cleaned["label"].isin(small)] if settings.small_labels == "drop" else cleaned
    yield Batch("documents", _against(expected, splits), list(_same_documents()), key="doc_id")
    yield Batch("groups", _spread(splits, "group"), [_one_part()], key="group")
    counted = _counted(splits, small)
    yield Batch("labels", _labels(counted, settings), list(_balanced(settings, limits)), key="label")
    yield Batch("parts", _parts(counted, settings), list(_parts_expected(settings, limits)), key="split")


def _against(expected: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """One row per document of either side: how often it has a part, and whether it should have one."""
    rows = splits.groupby("doc_id").agg(times=("split", "size"), part=("split", "first"))
    found = expected[["doc_id"]].drop_duplicates().merge(rows, on="doc_id", how="outer", indicator="side")
    found["times"] = found["times"].fillna(0).astype("int64")
    found["side"] = found["side"].astype("str").replace({"both": "both", "left_only": "missing", "right_only": "extra"})
    return found


def _same_documents() -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeInSet(
        column="side", value_set=["both"], notes="every cleaned document has a part, dropped labels aside; no other has"
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="times", max_value=1, notes="a document in two parts is learned from and tested on"
    )
    yield gxe.ExpectColumnValuesToBeInSet(
        column="part", value_set=list(PARTS), notes="later stages know these three parts"
    )


def _spread(splits: pd.DataFrame, by: str) -> pd.DataFrame:
    return splits.groupby(by)["split"].nunique().rename("parts").reset_index()


def _one_part() -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column="parts", max_value=1, notes="near duplicates in two parts let the test see the training texts"
    )


def _shares(settings: SplittingSettings) -> dict[str, float]:
    """The shares that the parts should have; with folds, the rest is divided in the ratio of train to validation."""
    if settings.fold is None:
        return {part: getattr(settings, part) for part in PARTS}
    test = 1 / settings.fold.count
    rest = (1 - test) / (settings.train + settings.validation)
    return {"train": settings.train * rest, "validation": settings.validation * rest, "test": test}


def _ideal(sizes: pd.Series[int], shares: Mapping[str, float]) -> pd.DataFrame:
    """Documents of each label that each part should have: its share, but at least one, at the largest part's cost."""
    ideal = pd.DataFrame({part: (sizes * share).clip(lower=1) for part, share in shares.items()})
    largest = max(shares, key=lambda part: shares[part])
    ideal[largest] = sizes - ideal.drop(columns=largest).sum(axis=1)
    return ideal


def _counted(splits: pd.DataFrame, small: Mapping[str, int]) -> pd.DataFrame:
    """The rows of the labels that are in all parts, each with the label that its group counts to."""
    documents = [Document(*row) for row in splits[["doc_id", "label", "group"]].itertuples(index=False)]
    of_group = {unit.group: unit.label for unit in units(documents, seed=0)}
    counted = splits.assign(label=splits["group"].map(of_group))
    return counted[~counted["label"].isin(small)]


def _table(counted: pd.DataFrame) -> pd.DataFrame:
    table = counted.groupby(["label", "split"]).size().unstack(fill_value=0)
    return table.reindex(columns=list(PARTS), fill_value=0)


def _labels(counted: pd.DataFrame, settings: SplittingSettings) -> pd.DataFrame:
    """Per label: in how many parts it is, and by how many documents the worst part is off.

    What the label's largest group has beyond one document is forgiven, for it cannot be divided.
    """
    table = _table(counted)
    off = (table - _ideal(table.sum(axis=1), _shares(settings))).abs().max(axis=1)
    largest = counted.groupby(["label", "group"]).size().groupby("label").max()
    return pd.DataFrame(
        {
            "label": table.index.astype("str"),
            "parts": (table > 0).sum(axis=1).to_numpy(),
            "documents_off": (off - (largest - 1)).clip(lower=0).to_numpy(),
        }
    )


def _balanced(settings: SplittingSettings, limits: SplittingLimits) -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeBetween(
        column="parts", min_value=len(PARTS), notes="a label that is missing from a part is not learned, or not tested"
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="documents_off",
        max_value=limits.max_documents_off,
        notes="each label's share in a part is its share of the whole, but for rounding to documents; "
        "where texts were removed since an earlier division, another splitting.seed divides afresh",
    )


def _parts(counted: pd.DataFrame, settings: SplittingSettings) -> pd.DataFrame:
    """Per part: its documents, and how far its share of all of them is off."""
    table = _table(counted)
    off = (table.sum() - _ideal(table.sum(axis=1), _shares(settings)).sum()).abs() / max(1, len(counted))
    return pd.DataFrame(
        {"split": list(PARTS), "documents": table.sum().to_numpy(), "share_off": off[list(PARTS)].to_numpy()}
    )


def _parts_expected(settings: SplittingSettings, limits: SplittingLimits) -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeBetween(column="documents", min_value=1, notes="no part may be empty")
    yield gxe.ExpectColumnValuesToBeBetween(
        column="share_off",
        max_value=limits.max_share_off,
        notes="train, validation and test have the shares that the settings ask for",
    )
