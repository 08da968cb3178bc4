"""The files of the linear stage: a folder per member, and next to it the member's out-of-fold predictions."""

from __future__ import annotations

from typing import Literal

Kind = Literal["words", "characters", "counts"]
"""The linear members."""
WEIGHTS, TERMS, MEMBER = "weights.safetensors", "terms.parquet", "member.json"
LABELS = "labels.json"
"""The label names, in the order of the log-probabilities."""


def out_of_fold_file(member: str) -> str:
    """The file of a member's out-of-fold predictions, see tasks/shared/out_of_fold.py."""
    return f"{member}.out-of-fold.parquet"
