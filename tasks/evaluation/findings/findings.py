"""What a person should look at after an evaluation: plain data, which the report and other pages draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.evaluation.findings.doubtful import Doubtful
from tasks.evaluation.findings.mistakes import Mistake
from tasks.evaluation.findings.words import StrongWord


@dataclass(frozen=True)
class Findings:
    """Labels worth a second look, the most confident mistakes, and each label's strongest words."""

    doubtful: Sequence[Doubtful]
    """All of them, the most likely mistakes first."""
    labelled: int
    """Texts whose labels were judged: those of the training and validation splits."""
    openings: Mapping[str, str]
    """The beginning of the first doubtful texts, by doc_id."""
    mistakes: Sequence[Mistake]
    words: Sequence[StrongWord]
    """By label, the strongest first; empty without a member that reads words."""
