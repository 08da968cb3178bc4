"""Honours the splits that a corpus comes with: published ones, on which others have measured.

A training text stays a training text, unless the corpus has no validation split: then it may be drawn for validation.
A test text is always a test text, even if a near duplicate of it is a training text, so that figures compare with
published ones; such groups are counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tasks.shared.errors import CorpusError
from tasks.shared.progress import logger
from tasks.splitting.schema import SPLITS
from tasks.splitting.stratify import stratify
from tasks.splitting.units import exclude_labels, units

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tasks.extraction.document import Document
    from tasks.splitting.settings import SmallLabels

SHOWN = 10
SETTING = "extraction.table.split_column"


def has_given_splits(documents: Iterable[Document]) -> bool:
    """Whether the corpus comes with splits: all documents have one, or none has."""
    first = next(iter(documents), None)
    return first is not None and first.given_split is not None


def assign_given(
    documents: Sequence[Document], shares: Mapping[str, float], seed: int, policy: SmallLabels
) -> tuple[dict[str, str], dict[str, JsonValue]]:
    """The split of each document, by doc_id, and what was found, for the summary.

    If no document is given for validation, it is drawn from the training texts: stratified by label, whole groups of
    near duplicates, validation / (train + validation) of them. A label with a single group stays in training. Labels
    without a training text are left out. Raises CorpusError if there are such labels and `policy` is "fail", if there
    are no training or no test texts, and if fewer than two labels can be learned.
    """
    documents = sorted(documents)
    _require_splits(documents)
    untrained = untrained_labels(documents)
    if untrained and policy == "fail":
        raise CorpusError(
            f"{SETTING}: no training text has the label {_listed(untrained)}; add some, or leave such labels out with "
            "splitting.small_labels: drop"
        )
    documents = exclude_labels(documents, untrained)
    _require_splits(documents)
    if len({document.label for document in documents}) < 2:
        raise CorpusError(f"{SETTING}: a classifier needs training texts of two labels or more; add texts")
    assigned = {document.doc_id: str(document.given_split) for document in documents}
    if "validation" not in assigned.values():
        assigned |= _draw_validation(documents, shares, seed)
    return assigned, _describe(documents, assigned, untrained)


def untrained_labels(documents: Iterable[Document]) -> list[str]:
    """The labels of documents none of which is given for training; sorted."""
    splits: defaultdict[str, set[str | None]] = defaultdict(set)
    for document in documents:
        splits[document.label].add(document.given_split)
    return sorted(label for label, given in splits.items() if "train" not in given)


def straddling_groups(documents: Iterable[Document]) -> set[str]:
    """The groups of near duplicates whose documents are given for different splits."""
    splits: defaultdict[str, set[str | None]] = defaultdict(set)
    for document in documents:
        splits[document.group].add(document.given_split)
    return {group for group, given in splits.items() if len(given) > 1}


def _draw_validation(documents: Sequence[Document], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    training = [document for document in documents if document.given_split == "train"]
    drawn = units(training, seed)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for document in training:
        groups[document.label].add(document.group)
    only = {group for of_label in groups.values() if len(of_label) == 1 for group in of_label}
    for unit in drawn:
        if unit.group in only:
            unit.split = "train"
    both = shares["train"] + shares["validation"]
    stratify(drawn, {name: shares[name] / both for name in ("train", "validation")})
    split_of = {unit.group: str(unit.split) for unit in drawn}
    assigned = {document.doc_id: split_of[document.group] for document in training}
    if "validation" not in assigned.values():
        raise CorpusError(f"{SETTING}: too few training texts to draw a validation split from them; add texts")
    return assigned


def _require_splits(documents: Sequence[Document]) -> None:
    given = Counter(document.given_split for document in documents)
    for name in ("train", "test"):
        if not given[name]:
            there = ", ".join(f"{given[split]} {split}" for split in SPLITS if given[split]) or "no text at all"
            raise CorpusError(f"{SETTING}: no text is left in the split {name!r}, only {there}; add some")


def _describe(
    documents: Sequence[Document], assigned: Mapping[str, str], untrained: Sequence[str]
) -> dict[str, JsonValue]:
    """Counts of what is unusual; logs them."""
    log = logger("splitting")
    straddling = len(straddling_groups(documents))
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for document in documents:
        labels[assigned[document.doc_id]].add(document.label)
    untested = sorted(labels["train"] - labels["test"])
    if straddling:
        log.warning(
            "splitting: groups of near duplicates in more than one given split: %d; each text stays in its own split",
            straddling,
        )
    if untested:
        log.warning("splitting: the test split has no text of %s", _listed(untested))
    if untrained:
        log.warning("splitting: left out, for want of training texts: %s", _listed(untrained))
    return {"straddling_groups": straddling, "untested_labels": len(untested), "untrained_labels": len(untrained)}


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return f"{', '.join(map(repr, labels[:SHOWN]))}{more}"
