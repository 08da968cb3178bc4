"""Why a text gets one label and not another: the words and pairs that spoke for and against it.

The stack's log-odds, log p(label) - log p(other), are the sum of its members' log-odds, each times its weight, since
the normalization cancels. Each member divides its own among the places of the text (`Member.explain`): the linear ones
exactly, the RNN by the gated evidence of its tokens. So all amounts, and what belongs to no word, add up to them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.shared.member import Member, Occurrence

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Term:
    """A word or a pair, all its occurrences together."""

    text: str
    """Lower-cased; a line break for the word that stands for it."""
    amount: float
    """Nats of log-odds: positive, it speaks for the label; negative, for the other one."""
    share: float
    """Of the absolute amounts of all terms and of the rest, from 0 to 1."""
    members: Mapping[str, float]
    """The amount by member."""


@dataclass(frozen=True)
class Explanation:
    """The log-odds of two labels as a sum over words and pairs."""

    text: str
    """As it was read: cleaned."""
    label: str
    other: str
    log_odds: float
    """log p(label) - log p(other), in nats: the sum of all terms and of the rest."""
    terms: Sequence[Term]
    """Strongest first."""
    rest: Mapping[str, float]
    """By member, what belongs to no word: the difference of the biases; of the RNN, its linear layer."""
    occurrences: Sequence[Occurrence]
    """Where the terms stand, of all members."""


def explain(
    members: Mapping[str, Member],
    weights: Mapping[str, float],
    label_names: Sequence[str],
    text: str,
    label: int,
    other: int,
) -> Explanation:
    """What in a cleaned text speaks for the class id `label` rather than for `other`."""
    amounts: defaultdict[str, dict[str, float]] = defaultdict(dict)
    occurrences: list[Occurrence] = []
    rest = {}
    for name, member in members.items():
        evidence = member.explain(text, label, other)
        rest[name] = weights[name] * evidence.rest
        for occurrence in evidence.occurrences:
            weighted = occurrence._replace(amount=weights[name] * occurrence.amount)
            occurrences.append(weighted)
            amounts[weighted.term][name] = amounts[weighted.term].get(name, 0.0) + weighted.amount
    totals = {term: sum(by_member.values()) for term, by_member in amounts.items()}
    scale = sum(map(abs, [*totals.values(), *rest.values()])) or 1.0
    terms = [Term(term, amount, abs(amount) / scale, amounts[term]) for term, amount in totals.items()]
    return Explanation(
        text=text,
        label=label_names[label],
        other=label_names[other],
        log_odds=sum(totals.values()) + sum(rest.values()),
        terms=sorted(terms, key=lambda term: (-abs(term.amount), term.text)),
        rest=rest,
        occurrences=occurrences,
    )


def mark(explanation: Explanation, stop: int) -> list[tuple[str, float]]:
    """The first `stop` characters of the text in pieces, each with its amount; what stands between words has 0.

    The amount of a pair, or of a run of characters, is divided evenly among its words.
    """
    text = explanation.text
    spans = [match.span() for match in _WORD.finditer(text)]
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    letters = np.array([text[start].isalnum() for start, _ in spans], bool)
    amounts = np.zeros(len(spans))
    for occurrence in explanation.occurrences:
        inside = slice(np.searchsorted(ends, occurrence.start, "right"), np.searchsorted(starts, occurrence.end))
        worthy = letters[inside] if letters[inside].any() else ~letters[inside]  # words before signs
        amounts[inside][worthy] += occurrence.amount / max(1, int(worthy.sum()))
    pieces, position = [], 0
    for (start, end), amount in zip(spans, amounts.tolist(), strict=True):
        if end > stop:
            break
        pieces += [(text[position:start], 0.0), (text[start:end], amount)]
        position = end
    pieces.append((text[position:stop], 0.0))
    return [piece for piece in pieces if piece[0]]
