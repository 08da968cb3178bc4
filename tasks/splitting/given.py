"""Honours the splits that a corpus comes with: published ones, on which others have measured.

A training text stays a training text, unless the corpus has no validation split: then it may be drawn for validation.
A test text is always a test text, even if a near duplicate of it is a training text, so that figures compare with
published ones; such groups are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.shared.errors import CorpusError
from tasks.shared.progress import logger
from tasks.splitting.rows import NONE, Ints, Rows, Splits
from tasks.splitting.schema import SPLITS
from tasks.splitting.stratify import stratify
from tasks.splitting.units import units

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tasks.splitting.settings import SmallLabels

SHOWN = 10
SETTING = "extraction.table.split_column"
TRAIN, VALIDATION, TEST = range(len(SPLITS))


def assign_given(rows: Rows, shares: Mapping[str, float], policy: SmallLabels) -> tuple[Splits, dict[str, JsonValue]]:
    """The place in `SPLITS` of each document's split, NONE if left out, and what was found, for the summary.

    If no document is given for validation, it is drawn from the training texts: stratified by label, whole groups of
    near duplicates, validation / (train + validation) of them. A label with a single group stays in training. Labels
    without a training text are left out. Raises CorpusError if there are such labels and `policy` is "fail", if there
    are no training or no test texts, and if fewer than two labels can be learned.
    """
    _require_splits(rows)
    untrained = _untrained_labels(rows)
    if len(untrained) and policy == "fail":
        raise CorpusError(
            f"{SETTING}: no training text has the label {_listed(untrained, rows)}; add some, or leave such labels out "
            "with splitting.small_labels: drop"
        )
    kept = ~np.isin(rows.labels.of, untrained)
    left = rows.keep(kept)
    _require_splits(left)
    if len(np.unique(left.labels.of)) < 2:
        raise CorpusError(f"{SETTING}: a classifier needs training texts of two labels or more; add texts")
    assigned = left.given.copy()
    if VALIDATION not in assigned:
        _draw_validation(left, assigned, shares)
    splits = np.full(len(rows), NONE, np.int8)
    splits[kept] = assigned
    return splits, _describe(left, assigned, untrained)


def _untrained_labels(rows: Rows) -> Ints:
    """The labels of documents none of which is given for training."""
    return np.setdiff1d(rows.labels.of, rows.labels.of[rows.given == TRAIN])


def _straddling_groups(rows: Rows) -> int:
    """The number of groups of near duplicates whose documents are given for different splits."""
    pairs = np.unique(np.stack([rows.groups, rows.given]), axis=1)
    return int(np.count_nonzero(np.bincount(pairs[0]) > 1))


def _draw_validation(rows: Rows, assigned: Splits, shares: Mapping[str, float]) -> None:
    """Moves some of the training texts to validation."""
    training = assigned == TRAIN
    chosen = rows.keep(training)
    drawn = units(chosen)
    groups_of_labels = np.unique(np.stack([chosen.labels.of, drawn.of]), axis=1)
    alone = np.bincount(groups_of_labels[0])[groups_of_labels[0]] == 1
    drawn.splits[groups_of_labels[1, alone]] = TRAIN
    both = shares["train"] + shares["validation"]
    stratify(drawn, np.arange(len(drawn), dtype=np.int32), [shares[name] / both for name in ("train", "validation")])
    assigned[training] = drawn.splits[drawn.of]
    if VALIDATION not in assigned:
        raise CorpusError(f"{SETTING}: too few training texts to draw a validation split from them; add texts")


def _require_splits(rows: Rows) -> None:
    given = np.bincount(rows.given[rows.given != NONE], minlength=len(SPLITS))
    for number in (TRAIN, TEST):
        if not given[number]:
            there = ", ".join(f"{n} {name}" for n, name in zip(given, SPLITS, strict=True) if n) or "no text at all"
            raise CorpusError(f"{SETTING}: no text is left in the split {SPLITS[number]!r}, only {there}; add some")


def _describe(rows: Rows, assigned: Splits, untrained: Ints) -> dict[str, JsonValue]:
    """Counts of what is unusual; logs them."""
    log = logger("splitting")
    straddling = _straddling_groups(rows)
    untested = np.setdiff1d(rows.labels.of[assigned == TRAIN], rows.labels.of[assigned == TEST])
    if straddling:
        log.warning(
            "splitting: groups of near duplicates in more than one given split: %d; each text stays in its own split",
            straddling,
        )
    if len(untested):
        log.warning("splitting: the test split has no text of %s", _listed(untested, rows))
    if len(untrained):
        log.warning("splitting: left out, for want of training texts: %s", _listed(untrained, rows))
    return {"straddling_groups": straddling, "untested_labels": len(untested), "untrained_labels": len(untrained)}


def _listed(labels: Sequence[int] | Ints, rows: Rows) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return f"{', '.join(repr(rows.labels.names[int(label)].as_py()) for label in labels[:SHOWN])}{more}"
