"""Selects the documents of the candidate's test split that are new to both models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tasks.cleaning.labels import clean_label
from tasks.extraction.document import Document
from tasks.splitting.documents import read_label_names, read_splits
from tasks.splitting.earlier import LEARNED, find_earlier


def find_new(today: Sequence[Document], earlier: Sequence[Document]) -> list[str]:
    """The ids of today's test documents whose texts neither model has learned from, in order.

    `today` and `earlier` are the documents of the candidate's and of the champion's splits, with their digests. Not new
    is a text of the champion's training and validation splits, an edited version of one (`find_earlier`), or a text of
    the candidate's own; nor is a near duplicate of one of these, by today's groups.
    """
    found = find_earlier(today, earlier)
    learned = {d.digest for d in (*today, *earlier) if d.split in LEARNED and d.digest}
    known = {d.group for d in today if d.digest in learned or (d.doc_id in found and found[d.doc_id].split in LEARNED)}
    return [d.doc_id for d in today if d.split == "test" and d.group not in known]


def find_new_labels(splits: Path, champion_splits: Path) -> list[str]:
    """The labels that the champion does not know, so that it cannot predict them; sorted."""
    return sorted({*read_label_names(splits)} - {clean_label(label) for label in read_label_names(champion_splits)})


def commonest_label(splits: Path) -> str:
    """The label that most training documents carry; of equally common ones the first."""
    counts = Counter(document.label for document in read_splits(splits) if document.split == "train")
    return max(sorted(counts), key=counts.__getitem__)
