"""Whether a candidate takes the champion's place, from what both answered on the same documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.shared.statistics.bootstrap import bootstrap, interval, mcnemar
from tasks.shared.statistics.metrics import Floats, Ints, accuracy, confusion_matrix, macro_f1

METRICS = {"accuracy": accuracy, "macro_f1": macro_f1}
TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


@dataclass(frozen=True)
class Rule:
    """What a candidate must show."""

    metric: Literal["accuracy", "macro_f1"]
    least_gain: float
    test: Literal["bootstrap", "mcnemar", "none"]
    confidence: float
    min_documents: int
    bootstrap_samples: int
    seed: int


@dataclass(frozen=True)
class Decision:
    """What was decided, on what, and why, in one sentence."""

    promote: bool
    reason: str
    documents: int
    candidate: float | None
    rival: float | None
    """The champion's score, or the majority class's where there is no champion to compare with."""
    gain_interval: tuple[float, float] | None
    sureness: float | None
    """How sure the lead is, from 0 to 1, by the rule's test."""


def decide_first(rule: Rule, labels: Sequence[str], candidate: Sequence[str], majority: str) -> Decision:
    """A first model becomes champion if it beats the answer that is always the training part's commonest label."""
    score, floor = _scores(rule, labels, candidate, [majority] * len(labels))
    name, figures = TITLES[rule.metric], f"{score:.3f} against {floor:.3f} on {_documents(len(labels))}"
    verdict = "beats" if score > floor else "does not beat"
    reason = f"nothing to compare with, and its {name} {verdict} the majority class: {figures}"
    return Decision(score > floor, reason, len(labels), score, floor, None, None)


def decide(rule: Rule, labels: Sequence[str], candidate: Sequence[str], champion: Sequence[str]) -> Decision:
    """The candidate is promoted if it leads by more than the least gain, and surely enough."""
    documents = len(labels)
    score, other = _scores(rule, labels, candidate, champion) if documents else (None, None)
    if score is None or other is None or documents < rule.min_documents:
        return Decision(False, _too_few(rule, documents), documents, score, other, None, None)
    bounds, sureness = _sureness(rule, labels, candidate, champion)
    ahead = score - other > rule.least_gain
    sure = sureness is None or sureness >= rule.confidence
    figures = f"{TITLES[rule.metric]} {score:.3f} against the champion's {other:.3f} on {_documents(documents)}"
    certainty = "" if sureness is None else f", sure to {sureness:.1%} ({rule.test})"
    if not ahead:
        wanted = f"by more than {rule.least_gain:g}" if rule.least_gain else "at all"
        reason = f"not ahead {wanted}: {figures}"
    elif not sure:
        reason = f"ahead, but not surely enough (promotion.confidence is {rule.confidence:g}): {figures}{certainty}"
    else:
        reason = f"better than the champion: {figures}{certainty}"
    return Decision(ahead and sure, reason, documents, score, other, bounds, sureness)


def _too_few(rule: Rule, documents: int) -> str:
    if not documents:
        return (
            "no document of the test part is new to both models, so they cannot be compared; "
            "add texts, or choose with `corpusflow champion --set`"
        )
    return (
        f"only {_documents(documents)} of the test part {'is' if documents == 1 else 'are'} new to both models, "
        f"too few to tell (promotion.min_documents is {rule.min_documents})"
    )


def _scores(rule: Rule, labels: Sequence[str], first: Sequence[str], second: Sequence[str]) -> tuple[float, float]:
    truth, one, other, classes = _numbered(labels, first, second)
    measure = METRICS[rule.metric]
    return float(measure(confusion_matrix(truth, one, classes))), float(
        measure(confusion_matrix(truth, other, classes))
    )


def _sureness(
    rule: Rule, labels: Sequence[str], candidate: Sequence[str], champion: Sequence[str]
) -> tuple[tuple[float, float] | None, float | None]:
    """An interval around the gain, and how sure it is that there is one."""
    truth, one, other, classes = _numbered(labels, candidate, champion)
    if rule.test == "none":
        return None, None
    if rule.test == "mcnemar":
        ours, theirs = one == truth, other == truth
        return None, 1 - mcnemar(int((ours & ~theirs).sum()), int((~ours & theirs).sum()))
    measure = METRICS[rule.metric]

    def gain(drawn: Ints) -> Floats:
        tables = (confusion_matrix(truth[drawn], answers[drawn], classes) for answers in (one, other))
        first, second = map(measure, tables)
        return np.asarray(first - second)

    gains = bootstrap(gain, len(truth), rule.bootstrap_samples, rule.seed, numbers=2 * classes**2)
    point = float(gain(np.arange(len(truth))))
    return interval(gains, point, rule.confidence), float((gains > 0).mean())


def _numbered(labels: Sequence[str], *answers: Sequence[str]) -> tuple[Ints, Ints, Ints, int]:
    """Names as class ids; the models may know different labels."""
    names = sorted({*labels, *(name for some in answers for name in some)})
    number = {name: i for i, name in enumerate(names)}
    truth, one, other = (np.array([number[name] for name in some], np.int64) for some in (labels, *answers))
    return truth, one, other, len(names)


def _documents(count: int) -> str:
    return f"{count:,} document{'' if count == 1 else 's'}"
