"""Decides whether a candidate replaces the champion, from the predictions of both on the same documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from tasks.promotion.schema import certainty
from tasks.shared.statistics.bootstrap import bootstrap, interval, mcnemar
from tasks.shared.statistics.metrics import Floats, Ints, measures

SHOWN = 10
"""Labels that a reason names."""
METRICS = ("accuracy", "macro_f1")
"""The first columns of `measures`."""
TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


@dataclass(frozen=True)
class Rule:
    """The promotion rule, from the settings of the same names."""

    metric: Literal["accuracy", "macro_f1"]
    min_gain: float
    test: Literal["bootstrap", "mcnemar", "none"]
    confidence: float
    min_documents: int
    bootstrap_samples: int
    seed: int


@dataclass(frozen=True)
class Decision:
    """The decision and its reason in one sentence."""

    promote: bool
    reason: str
    documents: int
    candidate: float | None
    rival: float | None
    """The champion's score, or that of the majority class if there is no champion to compare with."""
    gain_interval: tuple[float, float] | None
    confidence: float | None
    """Confidence in the lead, from 0 to 1, by the rule's test."""
    new_labels: dict[str, int] = field(default_factory=dict)
    """The compared documents of each label that the champion cannot predict."""


def decide_first(rule: Rule, labels: Sequence[str], candidate: Sequence[str], majority: str) -> Decision:
    """A first model becomes champion if it beats `majority`, the most frequent label of the training split."""
    score, floor = _scores(rule, labels, candidate, [majority] * len(labels))
    name, figures = TITLES[rule.metric], f"{score:.3f} against {floor:.3f} on {_documents(len(labels))}"
    verdict = "beats" if score > floor else "does not beat"
    reason = f"nothing to compare with, and its {name} {verdict} the majority class: {figures}"
    return Decision(score > floor, reason, len(labels), score, floor, None, None)


def decide(rule: Rule, labels: Sequence[str], candidate: Sequence[str], champion: Sequence[str]) -> Decision:
    """The candidate is promoted if it leads by more than the minimum gain, with enough confidence."""
    documents = len(labels)
    score, other = _scores(rule, labels, candidate, champion) if documents else (None, None)
    if score is None or other is None or documents < rule.min_documents:
        return Decision(False, _too_few(rule, documents), documents, score, other, None, None)
    gain_interval, confidence = _confidence(rule, labels, candidate, champion)
    ahead = score - other > rule.min_gain
    sure = confidence is None or confidence >= rule.confidence
    figures = f"{TITLES[rule.metric]} {score:.3f} against the champion's {other:.3f} on {_documents(documents)}"
    sure_by = "" if confidence is None else f", confidence {certainty(confidence)} ({rule.test})"
    if not ahead:
        margin = f" by more than {rule.min_gain:g}" if rule.min_gain else ""
        reason = f"not ahead{margin}: {figures}"
    elif not sure:
        reason = (
            f"ahead, but with too little confidence (promotion.confidence is {rule.confidence:g}): {figures}{sure_by}"
        )
    else:
        reason = f"better than the champion: {figures}{sure_by}"
    return Decision(ahead and sure, reason, documents, score, other, gain_interval, confidence)


def mention_new_labels(
    rule: Rule,
    decision: Decision,
    new_labels: Sequence[str],
    labels: Sequence[str],
    candidate: Sequence[str],
    champion: Sequence[str],
) -> Decision:
    """The same decision; it says which labels the champion cannot predict, and the scores without their documents."""
    if not new_labels:
        return decision
    counts = {label: labels.count(label) for label in new_labels}
    names = ", ".join(f"{label!r}" for label in new_labels[:SHOWN])
    more = f" and {len(new_labels) - SHOWN} more labels" if len(new_labels) > SHOWN else ""
    counted = sum(counts.values())
    reason = f"{decision.reason}; the champion cannot predict {names}{more}, new since it was trained"
    if counted:
        reason += f": {_documents(counted)}, each counted as its mistake"
    rest = [number for number, label in enumerate(labels) if label not in counts]
    if counted and rest:
        scores = _scores(rule, *([column[i] for i in rest] for column in (labels, candidate, champion)))
        reason += f"; on the other {len(rest):,} {TITLES[rule.metric]} {scores[0]:.3f} against {scores[1]:.3f}"
    return replace(decision, reason=reason, new_labels=counts)


def _too_few(rule: Rule, documents: int) -> str:
    if not documents:
        return (
            "no document of the test split is new to both models, so they cannot be compared; "
            "add texts, or choose with `corpusflow champion --set`"
        )
    return (
        f"only {_documents(documents)} of the test split {'is' if documents == 1 else 'are'} new to both models, "
        f"fewer than promotion.min_documents ({rule.min_documents})"
    )


def _scores(rule: Rule, labels: Sequence[str], first: Sequence[str], second: Sequence[str]) -> tuple[float, float]:
    truth, one, other, classes = _class_ids(labels, first, second)
    column = METRICS.index(rule.metric)
    score, other_score = (measures(truth, ids, classes)[column] for ids in (one, other))
    return float(score), float(other_score)


def _confidence(
    rule: Rule, labels: Sequence[str], candidate: Sequence[str], champion: Sequence[str]
) -> tuple[tuple[float, float] | None, float | None]:
    """The interval of the gain (bootstrap only), and the confidence that there is a gain."""
    if rule.test == "none":
        return None, None
    truth, one, other, classes = _class_ids(labels, candidate, champion)
    if rule.test == "mcnemar":
        right, champion_right = one == truth, other == truth
        return None, 1 - mcnemar(int((right & ~champion_right).sum()), int((~right & champion_right).sum()))
    column = METRICS.index(rule.metric)

    def gain(drawn: Ints) -> Floats:
        first, second = (measures(truth[drawn], ids[drawn], classes)[..., column] for ids in (one, other))
        return np.asarray(first - second)

    gains = bootstrap(gain, len(truth), rule.bootstrap_samples, rule.seed, numbers=2 * (2 + classes))
    point = float(gain(np.arange(len(truth))))
    return interval(gains, point, rule.confidence), float((gains > 0).mean())


def _class_ids(labels: Sequence[str], first: Sequence[str], second: Sequence[str]) -> tuple[Ints, Ints, Ints, int]:
    """Class ids of label names, and the number of classes; the models may know different labels."""
    names = sorted({*labels, *first, *second})
    number = {name: i for i, name in enumerate(names)}
    truth, one, other = (np.array([number[name] for name in column], np.int64) for column in (labels, first, second))
    return truth, one, other, len(names)


def _documents(count: int) -> str:
    return f"{count:,} document{'' if count == 1 else 's'}"
