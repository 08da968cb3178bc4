"""Divides documents into train, validation and test: once, or fold by fold.

The result depends on the documents, the shares and the seed; not on the order of the documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.shared.errors import CorpusError
from tasks.splitting.stratify import stratify
from tasks.splitting.units import Document, Unit, small_labels, units, without

if TYPE_CHECKING:
    from tasks.splitting.settings import SmallLabels

PARTS = ("train", "validation", "test")


def divide(
    documents: Sequence[Document],
    shares: Mapping[str, float],
    seed: int = 0,
    small: SmallLabels = "fail",
    previous: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The part of each document by doc_id; `shares` of train, validation and test sum to 1.

    Documents that `previous` knows stay where they were, with two exceptions: groups that a new document ties
    together (see `units`), and a label with three groups or more that would be missing from a part (see `stratify`).
    Raises CorpusError when a label has fewer than three groups and `small` is "fail", or only one label is there.
    """
    documents, kept_for_training = _apply_policy(documents, small, len(PARTS), "three parts")
    all_units = units(documents, seed, previous, PARTS)
    _train_only(all_units, kept_for_training)
    stratify([unit for unit in all_units if unit.label not in kept_for_training], shares)
    return _by_document(documents, all_units)


def divide_fold(
    documents: Sequence[Document],
    shares: Mapping[str, float],
    count: int,
    index: int,
    seed: int = 0,
    small: SmallLabels = "fail",
) -> dict[str, str]:
    """The part of each document by doc_id: fold `index` of `count` is the test part.

    The folds are those of scikit-learn's `StratifiedKFold` over the documents in the order of their ids; where a group
    has several documents, `stratify` makes them, for then `StratifiedGroupKFold` can leave a label out of a fold.
    The rest is divided in the ratio of train to validation. With three folds or more, a label that is in each of them
    is in both parts of the rest. Raises CorpusError as `divide` does, for labels with fewer groups than folds.
    """
    documents, kept_for_training = _apply_policy(documents, small, count, f"{count} folds")
    all_units = units(documents, seed)
    _train_only(all_units, kept_for_training)
    divided = [unit for unit in all_units if unit.label not in kept_for_training]
    folds = _grouped_folds if any(unit.size > 1 for unit in divided) else _folds
    folds(divided, count, index, seed)
    rest = shares["train"] + shares["validation"]
    stratify(
        [unit for unit in divided if unit.part is None],
        {part: shares[part] / rest for part in ("train", "validation")},
    )
    return _by_document(documents, all_units)


def _apply_policy(
    documents: Sequence[Document], small: SmallLabels, least: int, purpose: str
) -> tuple[list[Document], set[str]]:
    """The documents in the order of their ids, less those of dropped labels; and the labels for training only."""
    documents = sorted(documents)
    _require_two_labels(documents)
    few = small_labels(documents, least)
    if few and small == "fail":
        raise CorpusError(
            f"too few texts for {purpose}, at least {least} are needed: {_named(few, documents)}; add texts, "
            "or set splitting.small_labels to train_only (never validated or tested) or drop"
        )
    if few and small == "drop":
        documents = without(documents, few)
        _require_two_labels(documents, f" after dropping {', '.join(map(repr, few))}")
    elif few.keys() == {document.label for document in documents}:
        raise CorpusError(
            f"no label has the {least} texts that {purpose} need, so there is nothing to test on; add texts"
        )
    return documents, set(few) if small == "train_only" else set()


def _require_two_labels(documents: Sequence[Document], after: str = "") -> None:
    labels = {document.label for document in documents}
    if len(labels) < 2:
        found = f"only the label {labels.pop()!r}" if labels else "no document"
        there = f"{found} is {'left' if after else 'there'}{after}"
        raise CorpusError(f"a classifier needs two labels or more, but {there}; add texts of others")


def _named(few: Mapping[str, int], documents: Sequence[Document]) -> str:
    """The labels, each with its number of texts, and of groups where that is another."""
    texts = Counter(document.label for document in documents)
    names = []
    for label, groups in few.items():
        count = f"{texts[label]} text{'s' if texts[label] > 1 else ''}"
        names.append(f"{label!r} ({count})" if groups == texts[label] else f"{label!r} ({count} in {groups} groups)")
    return ", ".join(names)


def _train_only(all_units: Sequence[Unit], labels: set[str]) -> None:
    for unit in all_units:
        if unit.label in labels and unit.part is None:
            unit.part = "train"


def _folds(divided: Sequence[Unit], count: int, index: int, seed: int) -> None:
    """Makes one fold of groups of a single document, which bear its id and are sorted by it, the test part."""
    from sklearn.model_selection import StratifiedKFold  # takes a second to import, and only folds need it

    labels = np.array([unit.label for unit in divided])
    _, test = list(StratifiedKFold(count, shuffle=True, random_state=seed).split(labels, labels))[index]
    for position in test:
        divided[position].part = "test"


def _grouped_folds(divided: Sequence[Unit], count: int, index: int, _seed: int) -> None:
    names = [str(fold) for fold in range(count)]
    stratify(divided, dict.fromkeys(names, 1 / count))
    for unit in divided:
        unit.part = "test" if unit.part == names[index] else None


def _by_document(documents: Sequence[Document], all_units: Sequence[Unit]) -> dict[str, str]:
    parts = {unit.group: unit.part for unit in all_units}
    return {document.doc_id: part for document in documents if (part := parts[document.group]) is not None}
