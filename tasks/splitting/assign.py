"""Assigns documents to train, validation and test: once, or fold by fold.

The result depends on the documents, the shares and the seed; not on the order of the documents.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tasks.shared.errors import CorpusError
from tasks.splitting.rows import NONE, Ints, Mask, Rows, Splits
from tasks.splitting.schema import SPLITS
from tasks.splitting.stratify import stratify
from tasks.splitting.units import Units, small_labels, units

if TYPE_CHECKING:
    from tasks.splitting.settings import SmallLabels

MOST_NAMES = 10
"""Labels that a message names."""
TRAIN, TEST = SPLITS.index("train"), SPLITS.index("test")


def assign_splits(
    rows: Rows,
    shares: Mapping[str, float],
    policy: SmallLabels = "fail",
    previous: Splits | None = None,
) -> Splits:
    """The place in `SPLITS` of each document's split, NONE if its label is dropped; the three `shares` sum to 1.

    Documents that have an earlier split (`previous`, NONE for the others) stay where they were, with two exceptions:
    groups that a new document joins (see `units`), and a label with three groups or more that would be missing from a
    split (see `stratify`). Raises CorpusError if a label has fewer than three groups and `policy` is "fail", or if
    there is only one label.
    """
    kept, all_units, chosen = _apply_policy(rows, policy, len(SPLITS), "three splits", previous)
    stratify(all_units, chosen, [shares[name] for name in SPLITS])
    return _by_document(kept, all_units)


def assign_fold(
    rows: Rows,
    shares: Mapping[str, float],
    count: int,
    index: int,
    policy: SmallLabels = "fail",
) -> Splits:
    """The place in `SPLITS` of each document's split, with fold `index` of `count` as the test split.

    The folds are those of scikit-learn's `StratifiedKFold` over the documents in the order of their digests, so they
    depend on the texts and not on the names of documents and labels. If a group has several documents, `stratify`
    makes the folds, because `StratifiedGroupKFold` can leave a label out of a fold. The other documents are split in
    the ratio of train to validation. With three folds or more, a label that is in every fold is in both. Raises
    CorpusError as `assign_splits` does, for labels with fewer groups than folds.
    """
    kept, all_units, chosen = _apply_policy(rows, policy, count, f"{count} folds", by_text=True)
    _order_labels_by_units(all_units, chosen)
    assign_test = _test_on_groups if np.any(all_units.sizes[chosen] > 1) else _test_on_documents
    assign_test(all_units, chosen, count, index, rows.seed)
    learned = [shares["train"], shares["validation"]]
    stratify(all_units, chosen[all_units.splits[chosen] == NONE], [share / sum(learned) for share in learned])
    return _by_document(kept, all_units)


def _apply_policy(
    rows: Rows,
    policy: SmallLabels,
    min_groups: int,
    purpose: str,
    previous: Splits | None = None,
    by_text: bool = False,
) -> tuple[Mask, Units, Ints]:
    """The documents that are not of dropped labels; their units; those of the units that are in all splits.

    The units are built once, unless labels are dropped: without their documents a group may count under another label.
    """
    build = partial(units, by_text=by_text)
    kept = np.ones(len(rows), bool)
    _require_two_labels(rows)
    all_units = build(rows, previous=previous)
    small = small_labels(rows, all_units, min_groups)
    if small and policy == "fail":
        raise CorpusError(
            f"too few texts for {purpose}, at least {min_groups} are needed: {_describe(small, rows)}; add texts, "
            "or set splitting.small_labels to train_only (never validated or tested) or drop"
        )
    if small and policy == "drop":
        kept = ~np.isin(rows.labels.of, list(small))
        left = rows.keep(kept)
        all_units = build(left, previous=None if previous is None else previous[kept])
        _require_two_labels(left, f" after dropping {', '.join(map(repr, _names(small, rows)))}{_others(small)}")
    elif len(small) == np.count_nonzero(rows.texts_of_labels()):
        raise CorpusError(
            f"no label has the {min_groups} texts that {purpose} need, so there is nothing to test on; add texts"
        )
    to_train = np.isin(all_units.labels, list(small) if policy == "train_only" else [])
    all_units.splits[to_train & (all_units.splits == NONE)] = TRAIN
    return kept, all_units, np.flatnonzero(~to_train).astype(np.int32)


def _require_two_labels(rows: Rows, after: str = "") -> None:
    labels = np.unique(rows.labels.of)
    if len(labels) < 2:
        remaining = f"only the label {rows.labels.names[labels[0]].as_py()!r}" if len(labels) else "no document"
        raise CorpusError(
            f"a classifier needs two labels or more, but {remaining} is {'left' if after else 'given'}{after}; "
            "add texts of other labels"
        )


def _names(small: Collection[int], rows: Rows) -> list[str]:
    """The first ten labels."""
    return [rows.labels.names[label].as_py() for label in list(small)[:MOST_NAMES]]


def _describe(small: Mapping[int, int], rows: Rows) -> str:
    """The first ten labels, each with its number of texts, and of groups if that differs; of the others, the number."""
    texts = rows.texts_of_labels()
    names = []
    for (label, groups), name in zip(small.items(), _names(small, rows), strict=False):
        count = f"{texts[label]} text{'s' if texts[label] > 1 else ''}"
        names.append(f"{name!r} ({count})" if groups == texts[label] else f"{name!r} ({count} in {groups} groups)")
    return ", ".join(names) + _others(small)


def _others(labels: Collection[int]) -> str:
    return f" and {len(labels) - MOST_NAMES:,} more" if len(labels) > MOST_NAMES else ""


def _order_labels_by_units(all_units: Units, chosen: Ints) -> None:
    """Numbers each label by its first unit: ties between labels are broken in the order of their numbers."""
    _, first, labels = np.unique(all_units.labels[chosen], return_index=True, return_inverse=True)
    all_units.labels[chosen] = np.argsort(np.argsort(first))[labels]


def _test_on_documents(all_units: Units, chosen: Ints, count: int, index: int, seed: int) -> None:
    """Makes one fold the test split; the units are single documents."""
    from sklearn.model_selection import StratifiedKFold  # takes a second to import, and only folds need it

    labels = all_units.labels[chosen]
    _, test = list(StratifiedKFold(count, shuffle=True, random_state=seed).split(labels, labels))[index]
    all_units.splits[chosen[test]] = TEST


def _test_on_groups(all_units: Units, chosen: Ints, count: int, index: int, _seed: int) -> None:
    stratify(all_units, chosen, [1 / count] * count)
    all_units.splits[chosen] = np.where(all_units.splits[chosen] == index, TEST, NONE)


def _by_document(kept: Mask, all_units: Units) -> Splits:
    splits = np.full(len(kept), NONE, np.int8)
    splits[kept] = all_units.splits[all_units.of]
    return splits
