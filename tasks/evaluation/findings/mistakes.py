"""The most confident mistakes on the test split, with the words that spoke for the predicted and for the true label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.shared.statistics.metrics import Floats, Ints
from tasks.stacking.explanation import Explanation, Term, mark

MOST_TERMS = 12
ELLIPSIS = " …"
Explain = Callable[[str, int, int], Explanation]
"""Cleaned text, predicted class id, true class id → why the one and not the other."""


class Piece(NamedTuple):
    """A piece of a text; what it adds to the log-odds of the predicted label and the true one, in nats."""

    text: str
    amount: float


@dataclass(frozen=True)
class Mistake:
    """A misclassified test document."""

    doc_id: str
    label: str
    predicted: str
    probability: float
    """Of the predicted label."""
    label_probability: float
    """Of the true label."""
    pieces: Sequence[Piece]
    """The beginning of the text."""
    terms: Sequence[Term]
    """The strongest words and pairs of the whole text; positive amounts speak for the predicted label."""


def most_confident(labels: Ints, probabilities: Floats, limit: int) -> list[int]:
    """The positions of the misclassified documents, the most confident prediction first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.lexsort((wrong, -probabilities[wrong].max(-1)))
    return [int(position) for position in wrong[order][:limit]]


def find_mistakes(
    doc_ids: Sequence[str],
    texts: Sequence[str] | Mapping[int, str],
    labels: Ints,
    probabilities: Floats,
    label_names: Sequence[str],
    explain: Explain,
    limit: int,
    characters: int,
) -> list[Mistake]:
    """Misclassified documents, most confident prediction first, with the first `characters` of their text.

    `labels` [documents] are the true class ids, `probabilities` [documents, classes] those of the model. `texts` has
    the text of each position, or of those that `most_confident` gives.
    """
    predicted = probabilities.argmax(axis=1)
    found = []
    for i in most_confident(labels, probabilities, limit):
        explanation = explain(texts[i], int(predicted[i]), int(labels[i]))
        found.append(
            Mistake(
                doc_id=doc_ids[i],
                label=label_names[labels[i]],
                predicted=label_names[predicted[i]],
                probability=float(probabilities[i, predicted[i]]),
                label_probability=float(probabilities[i, labels[i]]),
                pieces=marked_excerpt(explanation, characters),
                terms=explanation.terms[:MOST_TERMS],
            )
        )
    return found


def marked_excerpt(explanation: Explanation, characters: int) -> list[Piece]:
    """The beginning of a text in pieces with their amounts; see `excerpt`."""
    shown = excerpt(explanation.text, characters)
    cut = shown != explanation.text and characters > 0
    kept = len(shown) - len(ELLIPSIS) if cut else len(shown)
    pieces = [Piece(text, amount) for text, amount in mark(explanation, kept)]
    return [*pieces, Piece(ELLIPSIS, 0.0)] if cut else pieces


def excerpt(text: str, characters: int) -> str:
    """The first `characters` of a text, cut at a space if there is one in their last quarter."""
    if len(text) <= characters or not characters:
        return text[:characters]
    cut = text[:characters]
    space = max(cut.rfind(" "), cut.rfind("\n"))
    return cut[: space if space > characters * 3 // 4 else characters].rstrip() + ELLIPSIS
