"""The out-of-fold predictions of all members, from the folders of the stages that fit them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from tasks.linear.schema import Kind, out_of_fold_file
from tasks.shared.errors import ArtifactError
from tasks.shared.out_of_fold import OutOfFold, read_out_of_fold
from tasks.training.schema import MEMBER as RNN
from tasks.training.schema import OUT_OF_FOLD_FILE
from tasks.training.skipped import read_skipped


def read_members(linear: Path, training: Path, label_names: Sequence[str]) -> dict[str, OutOfFold]:
    """The predictions of each member, the linear ones first; without the RNN if it was not trained.

    Raises ArtifactError if the members have predicted different texts, or a file is damaged.
    """
    files = {name: path for name in get_args(Kind) if (path := linear / out_of_fold_file(name)).exists()}
    if read_skipped(training) is None:
        files[RNN] = training / OUT_OF_FOLD_FILE
    predictions = {name: read_out_of_fold(path, label_names) for name, path in files.items()}
    first, *others = predictions.values()
    for other in others:
        if list(other.doc_ids) != list(first.doc_ids) or not np.array_equal(other.labels, first.labels):
            raise ArtifactError("the members were fitted on different texts; run again")
    return predictions
