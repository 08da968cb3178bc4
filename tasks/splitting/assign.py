"""Assigns documents to train, validation and test: once, or fold by fold.

The result depends on the documents, the shares and the seed; not on the order of the documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tasks.shared.errors import CorpusError
from tasks.splitting.schema import SPLITS
from tasks.splitting.stratify import stratify
from tasks.splitting.units import Unit, exclude_labels, small_labels, units

if TYPE_CHECKING:
    from tasks.extraction.document import Document
    from tasks.splitting.settings import SmallLabels

MOST_NAMES = 10
"""Labels that a message names."""


def assign_splits(
    documents: Sequence[Document],
    shares: Mapping[str, float],
    seed: int = 0,
    policy: SmallLabels = "fail",
    previous: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The split of each document, by doc_id; `shares` of train, validation and test sum to 1.

    Documents in `previous` (doc_id → split) stay where they were, with two exceptions: groups that a new document
    joins (see `units`), and a label with three groups or more that would be missing from a split (see `stratify`).
    Raises CorpusError if a label has fewer than three groups and `policy` is "fail", or if there is only one label.
    """
    build = partial(units, seed=seed, previous=previous, splits=SPLITS)
    documents, all_units, train_only = _apply_policy(documents, build, policy, len(SPLITS), "three splits")
    _keep_for_training(all_units, train_only)
    stratify([unit for unit in all_units if unit.label not in train_only], shares)
    return _by_document(documents, all_units)


def assign_fold(
    documents: Sequence[Document],
    shares: Mapping[str, float],
    count: int,
    index: int,
    seed: int = 0,
    policy: SmallLabels = "fail",
) -> dict[str, str]:
    """The split of each document, by doc_id, with fold `index` of `count` as the test split.

    The folds are those of scikit-learn's `StratifiedKFold` over the documents in the order of their digests, so they
    depend on the texts and not on the names of documents and labels. If a group has several documents, `stratify`
    makes the folds, because `StratifiedGroupKFold` can leave a label out of a fold. The other documents are split in
    the ratio of train to validation. With three folds or more, a label that is in every fold is in both. Raises
    CorpusError as `assign_splits` does, for labels with fewer groups than folds.
    """
    build = partial(units, seed=seed, by_text=True)
    documents, all_units, train_only = _apply_policy(documents, build, policy, count, f"{count} folds")
    _keep_for_training(all_units, train_only)
    stratified = [unit for unit in all_units if unit.label not in train_only]
    _rename_labels(stratified)
    assign_test = _test_on_groups if any(unit.size > 1 for unit in stratified) else _test_on_documents
    assign_test(stratified, count, index, seed)
    rest = shares["train"] + shares["validation"]
    stratify(
        [unit for unit in stratified if unit.split is None],
        {name: shares[name] / rest for name in ("train", "validation")},
    )
    return _by_document(documents, all_units)


def _apply_policy(
    documents: Sequence[Document],
    build: Callable[[list[Document]], list[Unit]],
    policy: SmallLabels,
    min_groups: int,
    purpose: str,
) -> tuple[list[Document], list[Unit], set[str]]:
    """The documents in the order of their ids, without those of dropped labels; their units; the labels to train only.

    Built once, unless labels are dropped: without their documents a group may count under another label.
    """
    documents = sorted(documents)
    _require_two_labels(documents)
    all_units = build(documents)
    small = small_labels(documents, (unit.label for unit in all_units), min_groups)
    if small and policy == "fail":
        raise CorpusError(
            f"too few texts for {purpose}, at least {min_groups} are needed: {_describe(small, documents)}; add texts, "
            "or set splitting.small_labels to train_only (never validated or tested) or drop"
        )
    if small and policy == "drop":
        documents = exclude_labels(documents, small)
        all_units = build(documents)
        _require_two_labels(
            documents, f" after dropping {', '.join(map(repr, list(small)[:MOST_NAMES]))}{_others(small)}"
        )
    elif small.keys() == {document.label for document in documents}:
        raise CorpusError(
            f"no label has the {min_groups} texts that {purpose} need, so there is nothing to test on; add texts"
        )
    return documents, all_units, set(small) if policy == "train_only" else set()


def _require_two_labels(documents: Sequence[Document], after: str = "") -> None:
    labels = {document.label for document in documents}
    if len(labels) < 2:
        remaining = f"only the label {labels.pop()!r}" if labels else "no document"
        raise CorpusError(
            f"a classifier needs two labels or more, but {remaining} is {'left' if after else 'given'}{after}; "
            "add texts of other labels"
        )


def _describe(small: Mapping[str, int], documents: Sequence[Document]) -> str:
    """The first ten labels, each with its number of texts, and of groups if that differs; of the others, the number."""
    texts = Counter(document.label for document in documents)
    names = []
    for label, groups in list(small.items())[:MOST_NAMES]:
        count = f"{texts[label]} text{'s' if texts[label] > 1 else ''}"
        names.append(f"{label!r} ({count})" if groups == texts[label] else f"{label!r} ({count} in {groups} groups)")
    return ", ".join(names) + _others(small)


def _others(labels: Collection[str]) -> str:
    return f" and {len(labels) - MOST_NAMES:,} more" if len(labels) > MOST_NAMES else ""


def _keep_for_training(all_units: Sequence[Unit], labels: set[str]) -> None:
    for unit in all_units:
        if unit.label in labels and unit.split is None:
            unit.split = "train"


def _rename_labels(all_units: Sequence[Unit]) -> None:
    """Names each label after its first unit: ties between labels are broken in the order of their names."""
    names: dict[str, str] = {}
    for unit in all_units:
        unit.label = names.setdefault(unit.label, unit.name)


def _test_on_documents(stratified: Sequence[Unit], count: int, index: int, seed: int) -> None:
    """Makes one fold the test split; the units are single documents."""
    from sklearn.model_selection import StratifiedKFold  # takes a second to import, and only folds need it

    labels = np.array([unit.label for unit in stratified])
    _, test = list(StratifiedKFold(count, shuffle=True, random_state=seed).split(labels, labels))[index]
    for position in test:
        stratified[position].split = "test"


def _test_on_groups(stratified: Sequence[Unit], count: int, index: int, _seed: int) -> None:
    names = [str(fold) for fold in range(count)]
    stratify(stratified, dict.fromkeys(names, 1 / count))
    for unit in stratified:
        unit.split = "test" if unit.split == names[index] else None


def _by_document(documents: Sequence[Document], all_units: Sequence[Unit]) -> dict[str, str]:
    splits = {unit.group: unit.split for unit in all_units}
    return {document.doc_id: name for document in documents if (name := splits[document.group]) is not None}
