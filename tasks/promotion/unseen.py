"""Selects the documents of the candidate's test split that are new to both models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tasks.splitting.documents import read_splits


def unseen(test: Mapping[str, str], groups: Mapping[str, str], trained_on: set[str]) -> list[str]:
    """The documents of `test` (doc_id → group) that share no near-duplicate group with the champion's training texts.

    `groups` holds the group of every current document: a near duplicate of a text that the champion learned is not new.
    """
    known = {group for doc_id, group in groups.items() if doc_id in trained_on}
    return [doc_id for doc_id, group in test.items() if doc_id not in trained_on and group not in known]


def read_groups(splits: Path) -> dict[str, str]:
    """The group of near duplicates of each document of a division."""
    return {document.doc_id: document.group for document in read_splits(splits)}


def read_trained_on(splits: Path) -> set[str]:
    """The documents of a division that its model has seen: those it learned from, and those it was chosen by."""
    return {document.doc_id for document in read_splits(splits) if document.split in {"train", "validation"}}


def commonest_label(splits: Path) -> str:
    """The label that most training documents carry; of equally common ones the first."""
    counts = Counter(document.label for document in read_splits(splits) if document.split == "train")
    return max(sorted(counts), key=counts.__getitem__)
