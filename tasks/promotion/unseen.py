"""Which documents of the candidate's test part are new to both models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tasks.shared.parquet import read_batches

COLUMNS = ("doc_id", "label", "group", "split")


def unseen(test: Mapping[str, str], groups: Mapping[str, str], trained_on: set[str]) -> list[str]:
    """The test documents (ids → group) that share no group of near duplicates with what the champion was trained on.

    `groups` are those of all of today's documents: a text beside which the champion learned its near duplicate is
    not new to it.
    """
    known = {group for doc_id, group in groups.items() if doc_id in trained_on}
    return [doc_id for doc_id, group in test.items() if doc_id not in trained_on and group not in known]


def read_groups(splits: Path) -> dict[str, str]:
    """The group of near duplicates of each document of a division."""
    return {doc_id: group for doc_id, _, group, _ in _rows(splits)}


def read_trained_on(splits: Path) -> set[str]:
    """The documents of a division that its model has seen: those it learned from, and those it was chosen by."""
    return {doc_id for doc_id, _, _, part in _rows(splits) if part in {"train", "validation"}}


def commonest_label(splits: Path) -> str:
    """The label that most training documents carry; of equally common ones the first."""
    counts: dict[str, int] = {}
    for _, label, _, part in _rows(splits):
        if part == "train":
            counts[label] = counts.get(label, 0) + 1
    return max(sorted(counts), key=counts.__getitem__)


def _rows(splits: Path) -> list[tuple[str, str, str, str]]:
    batches = read_batches(splits / "splits", COLUMNS)
    return [row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]
