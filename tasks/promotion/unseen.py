"""Selects the documents of the candidate's test split that are new to both models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.labels import clean_label
from tasks.splitting.documents import read_label_names, read_splits
from tasks.splitting.earlier import LEARNED, find_earlier
from tasks.splitting.schema import SPLITS


def find_new(today: pa.Table, earlier: pa.Table) -> list[str]:
    """The ids of today's test documents whose texts neither model has learned from, in order.

    `today` and `earlier` are the rows of the candidate's and of the champion's splits, with their digests. Not new is a
    text of the champion's training and validation splits, an edited version of one (`find_earlier`), or a text of the
    candidate's own; nor is a near duplicate of one of these, by today's groups.
    """
    names = pa.array(LEARNED)
    learned = [table.filter(pc.is_in(table["split"], names))["digest"].combine_chunks() for table in (today, earlier)]
    texts = pa.concat_arrays(learned)
    same_text = pc.and_(pc.is_in(today["digest"], texts), pc.not_equal(today["digest"], ""))
    continued = pa.array(np.isin(find_earlier(today, earlier), [SPLITS.index(name) for name in LEARNED]))
    known = pc.unique(today["group"].filter(pc.or_(same_text, continued)))
    tested = today.filter(pc.and_(pc.equal(today["split"], "test"), pc.invert(pc.is_in(today["group"], known))))
    return list(tested["doc_id"].to_pylist())


def find_new_labels(splits: Path, champion_splits: Path) -> list[str]:
    """The labels that the champion does not know, so that it cannot predict them; sorted."""
    return sorted({*read_label_names(splits)} - {clean_label(label) for label in read_label_names(champion_splits)})


def commonest_label(splits: Path) -> str:
    """The label that most training documents carry; of equally common ones the first."""
    counts = Counter(document.label for document in read_splits(splits) if document.split == "train")
    return max(sorted(counts), key=counts.__getitem__)
