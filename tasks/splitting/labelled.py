"""The texts that a model learns from, with their labels and the folds of a cross-fitting.

All members of the stack are fitted on the same folds, so that their out-of-fold predictions can be compared and
weighed: a text's prediction comes from a model that has learned from neither the text nor its near duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.shared.errors import TrainingError
from tasks.shared.statistics.metrics import Ints
from tasks.splitting.documents import read_label_names, read_split_documents

FOLDS = 5
LEARNED = {"train", "validation"}
"""The splits that members learn from: choices are made out of fold, so validation texts need not be held out."""


@dataclass(frozen=True)
class LabelledTexts:
    """The texts of the training and validation splits, in order of doc_id."""

    doc_ids: Sequence[str]
    texts: Sequence[str]
    labels: Ints
    """Class ids, [texts]."""
    folds: Ints
    """[texts]"""
    label_names: Sequence[str]
    """Of all splits, sorted."""

    def __len__(self) -> int:
        return len(self.doc_ids)


def read_labelled_texts(cleaned: Path, splits: Path) -> LabelledTexts:
    """Reads all texts into memory. Raises TrainingError if there are fewer than two labels, or one without texts."""
    names = read_label_names(splits)
    documents = [document for document in read_split_documents(cleaned, splits) if document.split in LEARNED]
    if len(names) < 2:
        raise TrainingError(f"the only label is {', '.join(names) or '(none)'}; a classifier needs two or more")
    number = {name: index for index, name in enumerate(names)}
    labels = np.array([number[document.label] for document in documents], np.int64)
    missing = [name for name, count in zip(names, np.bincount(labels, minlength=len(names)), strict=True) if not count]
    if missing:
        raise TrainingError(
            f"no training text has the label {', '.join(missing)}; add texts, or change splitting.small_labels"
        )
    folds = deal_folds(labels, [document.group for document in documents], FOLDS)
    doc_ids, texts = ([getattr(document, name) for document in documents] for name in ("doc_id", "text"))
    return LabelledTexts(doc_ids, texts, labels, folds, names)


def read_texts(cleaned: Path, splits: Path) -> list[str]:
    """The texts of `read_labelled_texts` alone."""
    return [document.text for document in read_split_documents(cleaned, splits) if document.split in LEARNED]


def deal_folds(labels: Ints, groups: Sequence[str], folds: int, seed: int = 0) -> Ints:
    """The fold of each text, [texts]; texts of one group share a fold.

    Each label's groups are shuffled and dealt in turn, starting where the label before ended: so folds are stratified
    as far as the counts allow, even for labels with a single text. A group counts for the label of its first text.
    There are at most as many folds as groups, and none is empty.
    """
    first: dict[str, int] = {}
    group_of = np.array([first.setdefault(group, len(first)) for group in groups], np.int64)
    _, positions = np.unique(group_of, return_index=True)
    group_labels = labels[positions]
    random = np.random.default_rng(seed)
    dealt, start = np.zeros(len(positions), np.int64), 0
    for label in np.unique(group_labels):
        members = random.permutation(np.flatnonzero(group_labels == label))
        dealt[members] = (np.arange(len(members)) + start) % min(folds, len(positions))
        start += len(members)
    return dealt[group_of]
