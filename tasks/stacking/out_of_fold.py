"""The out-of-fold predictions of all members, from the folders of the stages that fit them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.linear.schema import out_of_fold_file
from tasks.shared.errors import ArtifactError
from tasks.shared.out_of_fold import OutOfFold, read_out_of_fold
from tasks.training.schema import MEMBER as RNN
from tasks.training.schema import OUT_OF_FOLD_FILE

LINEAR = ("words", "characters", "counts")


def read_members(linear: Path, training: Path, label_names: Sequence[str]) -> dict[str, OutOfFold]:
    """The predictions of each member, the linear ones first.

    Raises ArtifactError if the members have predicted different texts, or a file is damaged.
    """
    files = {name: path for name in LINEAR if (path := linear / out_of_fold_file(name)).exists()}
    predictions = {
        name: read_out_of_fold(path, label_names) for name, path in {**files, RNN: training / OUT_OF_FOLD_FILE}.items()
    }
    first, *others = predictions.values()
    for other in others:
        if list(other.doc_ids) != list(first.doc_ids) or not np.array_equal(other.labels, first.labels):
            raise ArtifactError("the members were fitted on different texts; run again")
    return predictions
