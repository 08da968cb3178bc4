"""The out-of-fold predictions of all members, from the folders of the stages that fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from tasks.linear.schema import Kind, out_of_fold_file
from tasks.shared.errors import ArtifactError
from tasks.shared.out_of_fold import OutOfFold, read_out_of_fold
from tasks.training.schema import MEMBER as RNN
from tasks.training.schema import OUT_OF_FOLD_FILE
from tasks.training.skipped import read_skipped


def read_each(linear: Path, training: Path, label_names: Sequence[str]) -> dict[str, OutOfFold]:
    """The predictions of each member, the linear ones first; without the RNN if it was not trained.

    A member that learned from a sample of the texts has predicted these alone. Raises ArtifactError for a damaged file.
    """
    files = {name: path for name in get_args(Kind) if (path := linear / out_of_fold_file(name)).exists()}
    if read_skipped(training) is None:
        files[RNN] = training / OUT_OF_FOLD_FILE
    return {name: read_out_of_fold(path, label_names) for name, path in files.items()}


def in_common(predictions: Mapping[str, OutOfFold]) -> dict[str, OutOfFold]:
    """The predictions of the texts that all members have predicted: those of the member that has predicted the fewest.

    Raises ArtifactError if they are not among those of each of the others.
    """
    fewest = min(predictions.values(), key=lambda some: len(some.doc_ids))
    common = {name: _only(some, fewest) for name, some in predictions.items()}
    for some in common.values():
        if list(some.doc_ids) != list(fewest.doc_ids) or not np.array_equal(some.labels, fewest.labels):
            raise ArtifactError("the members were fitted on different texts; run again")
    return common


def _only(predictions: OutOfFold, wanted: OutOfFold) -> OutOfFold:
    if len(predictions.doc_ids) == len(wanted.doc_ids):
        return predictions
    ids = set(wanted.doc_ids)
    kept = np.array([doc_id in ids for doc_id in predictions.doc_ids], bool)
    doc_ids = [doc_id for doc_id in predictions.doc_ids if doc_id in ids]
    return OutOfFold(doc_ids, predictions.labels[kept], predictions.scores[kept])
