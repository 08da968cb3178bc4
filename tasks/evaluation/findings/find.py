"""Finds what a person should look at after an evaluation, from the folders of the members and of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.evaluation.findings.doubtful import find_doubtful
from tasks.evaluation.findings.findings import Findings
from tasks.evaluation.findings.mistakes import excerpt, find_mistakes, most_confident
from tasks.evaluation.findings.words import StrongWord, strongest_words, texts_to_read
from tasks.linear.member import LinearMember
from tasks.shared.out_of_fold import OutOfFold
from tasks.shared.statistics.metrics import Floats, Ints
from tasks.splitting.documents import find_texts
from tasks.stacking.stacked import StackedClassifier
from tasks.stacking.weights import combine

OPENING = 160
"""Characters of a doubtful text in the report."""
READS_WORDS = "words"
"""The member whose features are words and pairs."""


@dataclass(frozen=True)
class Folders:
    """Where the texts, the linear members and the model are."""

    cleaned: Path
    linear: Path
    model: Path


@dataclass(frozen=True)
class Shown:
    """How much is shown."""

    mistakes: int
    excerpt_characters: int
    doubtful_labels: int


def find(
    folders: Folders,
    out_of_fold: Mapping[str, OutOfFold],
    weights: Mapping[str, float],
    doc_ids: Sequence[str],
    labels: Ints,
    probabilities: Floats,
    label_names: Sequence[str],
    shown: Shown,
    device: str,
) -> Findings:
    """Doubtful labels of the texts learned from, mistakes among the test texts, and the labels' strongest words.

    `doc_ids`, class ids `labels` [documents] and `probabilities` [documents, labels] are those of the test documents.
    Only the texts that are shown or read for it are held. Raises ArtifactError for a damaged member.
    """
    known = next(iter(out_of_fold.values()))
    scores = combine({name: some.scores for name, some in out_of_fold.items()}, weights)
    doubtful = find_doubtful(scores, known.labels, known.doc_ids, label_names)
    opened = [each.doc_id for each in doubtful[: shown.doubtful_labels]]
    mistaken = most_confident(labels, probabilities, shown.mistakes)
    folder = folders.linear / READS_WORDS
    positions = texts_to_read(known.labels, len(label_names)) if folder.exists() else np.zeros(0, np.int64)
    read = [known.doc_ids[position] for position in positions.tolist()]
    texts = dict(find_texts(folders.cleaned, {*opened, *read, *(doc_ids[position] for position in mistaken)}))
    words: list[StrongWord] = []
    if read:
        member = LinearMember.load(folder)
        words = strongest_words(member, [texts[doc_id] for doc_id in read], known.labels[positions], label_names)
    return Findings(
        doubtful=doubtful,
        labelled=len(known.doc_ids),
        openings={doc_id: excerpt(texts[doc_id], OPENING) for doc_id in opened},
        mistakes=find_mistakes(
            doc_ids,
            {position: texts[doc_ids[position]] for position in mistaken},
            labels,
            probabilities,
            label_names,
            StackedClassifier.load(folders.model, device).explain,
            shown.mistakes,
            shown.excerpt_characters,
        ),
        words=words,
    )
