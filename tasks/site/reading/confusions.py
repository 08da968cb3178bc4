"""Which labels a report confuses most."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


def read_confusions(metrics: Path, choose: Callable[[Mapping[str, Any]], list[Any]]) -> list[Any]:
    """What `choose` finds in metrics.json; nothing if there is no such file."""
    return choose(json.loads(metrics.read_text(encoding="utf-8"))) if metrics.exists() else []


def worst_pairs(metrics: Mapping[str, Any], limit: int = 20) -> list[Any]:
    """The most frequent confusions in metrics.json."""
    from tasks.evaluation.results import worst_confusions
    from tasks.evaluation.summary import read_confusion

    found = metrics["confusion"]
    return worst_confusions(found["labels"], read_confusion(found), limit)


@dataclass(frozen=True)
class Confused:
    """Two labels, and how many documents of the one were taken for the other, `there` and `back`."""

    label: str
    other: str
    there: int
    back: int

    @property
    def documents(self) -> int:
        """Both directions together."""
        return self.there + self.back


def confused_labels(metrics: Mapping[str, Any], limit: int = 10) -> list[Confused]:
    """The pairs of labels that are confused most in metrics.json; ties in the order of the labels."""
    from tasks.evaluation.results import worst_confusions
    from tasks.evaluation.summary import read_confusion

    names, matrix = metrics["confusion"]["labels"], read_confusion(metrics["confusion"])
    place = {name: number for number, name in enumerate(names)}
    both = worst_confusions(names, np.triu(matrix + matrix.T, 1), limit)
    ends = [(place[each.label], place[each.predicted]) for each in both]
    return [Confused(names[a], names[b], int(matrix[a, b]), int(matrix[b, a])) for a, b in ends]
