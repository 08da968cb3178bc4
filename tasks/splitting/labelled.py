"""The texts that a model learns from, with their labels and the folds of a cross-fitting.

All members of the stack are fitted on the same folds, so that their out-of-fold predictions can be compared and
weighed: a text's prediction comes from a model that has learned from neither the text nor its near duplicates.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.shared.errors import TrainingError
from tasks.shared.progress import logger
from tasks.shared.statistics.metrics import Ints
from tasks.splitting.documents import find_texts, read_label_names, read_split_sizes, read_splits

FOLDS = 5
LEARNED = {"train", "validation"}
"""The splits that members learn from: choices are made out of fold, so validation texts need not be held out."""

ALWAYS = 100
"""Texts of each label that a sample has, as far as there is room."""
LARGE = 4_000_000
"""Bytes; larger texts come into a sample after all others, or one of them would take the place of thousands."""


@dataclass(frozen=True)
class LabelledTexts:
    """The texts of the training and validation splits, in order of doc_id; `read_texts` reads them."""

    doc_ids: Sequence[str]
    labels: Ints
    """Class ids, [texts]."""
    folds: Ints
    """[texts]"""
    label_names: Sequence[str]
    """Of all splits, sorted."""

    def __len__(self) -> int:
        return len(self.doc_ids)

    def at(self, positions: Ints) -> LabelledTexts:
        """Those at these positions; of their folds none is empty."""
        doc_ids = [self.doc_ids[position] for position in positions.tolist()]
        folds = np.unique(self.folds[positions], return_inverse=True)[1]
        return LabelledTexts(doc_ids, self.labels[positions], folds, self.label_names)

    def differing(self, doc_ids: Sequence[str], labels: Ints) -> int:
        """How many of these are another text, or have another label, than the one in their place here."""
        found, expected = zip(doc_ids, labels, strict=True), zip(self.doc_ids, self.labels, strict=True)
        return sum(mine != theirs for mine, theirs in zip(found, expected, strict=False))


def read_labels(cleaned: Path, splits: Path) -> tuple[LabelledTexts, Ints]:
    """All labelled texts, and the bytes of each in UTF-8, [texts].

    Raises TrainingError if there are fewer than two labels, or one without texts.
    """
    names = read_label_names(splits)
    if len(names) < 2:
        raise TrainingError(f"the only label is {', '.join(names) or '(none)'}; a classifier needs two or more")
    number = {name: index for index, name in enumerate(names)}
    doc_ids, groups, of_labels, sizes = list[str](), list[str](), array("q"), array("q")
    for document, size in read_split_sizes(cleaned, splits):
        if document.split in LEARNED:
            doc_ids.append(document.doc_id)
            groups.append(document.doc_id if document.group == document.doc_id else document.group)  # one string
            of_labels.append(number[document.label])
            sizes.append(size)
    labels = np.array(of_labels, np.int64)
    missing = [name for name, count in zip(names, np.bincount(labels, minlength=len(names)), strict=True) if not count]
    if missing:
        raise TrainingError(
            f"no training text has the label {', '.join(missing)}; add texts, or change splitting.small_labels"
        )
    return LabelledTexts(doc_ids, labels, deal_folds(labels, groups, FOLDS), names), np.array(sizes, np.int64)


def read_texts(cleaned: Path, splits: Path, positions: Ints) -> Iterator[str]:
    """Those of the labelled texts at these positions, which are in order; few are in memory at a time."""
    doc_ids = [document.doc_id for document in read_splits(splits) if document.split in LEARNED]
    return (text for _, text in find_texts(cleaned, [doc_ids[position] for position in positions.tolist()]))


def sample(known: LabelledTexts, sizes: Ints, megabytes: float) -> Ints:
    """The positions, in order, of the texts that a member learns from, by `choose_texts`; `sizes` in bytes [texts]."""
    return choose_texts(known.doc_ids, known.labels, sizes, int(megabytes * 1e6))


def log_sample(member: str, chosen: int, sizes: Ints, setting: str, megabytes: float) -> None:
    """Logs that a member learns from that many texts, of `sizes` in bytes [texts], if they are not all.

    `setting` is the key that says how many megabytes: "linear.words_max_megabytes" for example.
    """
    stage, _, _ = setting.partition(".")
    if chosen < len(sizes):
        logger(stage).info(
            "%s: %s learns from a sample, %s of %s labelled texts: they have %.3g megabytes, and %s is %g",
            stage,
            member,
            f"{chosen:,}",
            f"{len(sizes):,}",
            sizes.sum() / 1e6,
            setting,
            megabytes,
        )


def choose_texts(doc_ids: Sequence[str], labels: Ints, sizes: Ints, most: int) -> Ints:
    """The positions, in order, of texts that together have at most `most` bytes: all of them if that is enough.

    Otherwise a sample of every label. A label's texts come in the order of a digest of their ids: first `ALWAYS` of
    each label, one by one in turn, then all labels in proportion; in the same way those beyond `LARGE`, after all
    others. So what is chosen for a lower bound is chosen for a higher one, too, and additional texts displace few.
    Class ids `labels` and `sizes` in bytes are [texts].
    """
    if sizes.sum() <= most:
        return np.arange(len(labels), dtype=np.int64)
    digests = [hashlib.blake2b(doc_id.encode(), digest_size=8).digest() for doc_id in doc_ids]
    order = np.lexsort((np.frombuffer(b"".join(digests), ">u8"), labels))
    counts = np.bincount(labels)
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    turn = np.where(rank < ALWAYS, rank - ALWAYS, (rank - ALWAYS) / counts[labels])
    chosen = np.lexsort((labels, turn, sizes > LARGE))
    enough = np.searchsorted(np.cumsum(sizes[chosen]), most, "right")
    return np.sort(chosen[: max(1, enough)])


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
