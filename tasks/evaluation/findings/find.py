"""Finds what a person should look at after an evaluation, from the folders of the members and of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.evaluation.findings.doubtful import find_doubtful
from tasks.evaluation.findings.findings import Findings
from tasks.evaluation.findings.mistakes import excerpt, find_mistakes
from tasks.evaluation.findings.words import StrongWord, strongest_words
from tasks.extraction.document import Document
from tasks.linear.member import LinearMember
from tasks.shared.statistics.metrics import Floats, Ints
from tasks.stacking.out_of_fold import read_members
from tasks.stacking.stacked import StackedClassifier
from tasks.stacking.weights import combine

OPENING = 160
"""Characters of a doubtful text in the report."""
READS_WORDS = "words"
"""The member whose features are words and pairs."""


@dataclass(frozen=True)
class Folders:
    """Where the members and the model are."""

    linear: Path
    training: Path
    model: Path


@dataclass(frozen=True)
class Shown:
    """How much is shown."""

    mistakes: int
    excerpt_characters: int
    doubtful_labels: int


def find(
    folders: Folders,
    weights: Mapping[str, float],
    known: Sequence[Document],
    test: Sequence[Document],
    probabilities: Floats,
    label_names: Sequence[str],
    shown: Shown,
    device: str,
) -> Findings:
    """Doubtful labels of the texts learned from, mistakes among the test texts, and the labels' strongest words.

    `probabilities` [test documents, labels] are the model's. Raises ArtifactError for damaged members.
    """
    predictions = read_members(folders.linear, folders.training, label_names)
    first = next(iter(predictions.values()))
    scores = combine({name: some.scores for name, some in predictions.items()}, weights)
    doubtful = find_doubtful(scores, first.labels, first.doc_ids, label_names)
    texts = {document.doc_id: document.text for document in known}
    number = {name: position for position, name in enumerate(label_names)}
    return Findings(
        doubtful=doubtful,
        labelled=len(first.doc_ids),
        openings={each.doc_id: excerpt(texts[each.doc_id], OPENING) for each in doubtful[: shown.doubtful_labels]},
        mistakes=find_mistakes(
            [document.doc_id for document in test],
            [document.text for document in test],
            np.array([number[document.label] for document in test], np.int64),
            probabilities,
            label_names,
            StackedClassifier.load(folders.model, device).explain,
            shown.mistakes,
            shown.excerpt_characters,
        ),
        words=_words(folders.linear, [texts[doc_id] for doc_id in first.doc_ids], first.labels, label_names),
    )


def _words(linear: Path, texts: Sequence[str], labels: Ints, label_names: Sequence[str]) -> list[StrongWord]:
    folder = linear / READS_WORDS
    return strongest_words(LinearMember.load(folder), texts, labels, label_names) if folder.exists() else []
