"""The report: one HTML file that opens offline, with embedded pictures. Names and texts of the corpus are escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.evaluation import figures
from tasks.evaluation.findings.findings import Findings
from tasks.evaluation.findings.mistakes import Mistake
from tasks.evaluation.findings.words import StrongWord
from tasks.evaluation.gradient_figures import gradient_pictures
from tasks.evaluation.results import (
    MOST_LABELS_DRAWN,
    MOST_LABELS_IN_MATRIX,
    Comparison,
    Evaluation,
    GradientProfile,
    MemberScores,
    ValidationScores,
    worst_confusions,
)
from tasks.shared.plots.curves import Series, training_curves
from tasks.shared.plots.drawing import Picture
from tasks.shared.statistics.metrics import Floats, Ints
from tasks.shared.ui.style import PAGE_STYLE

TEMPLATE = Path(__file__).with_name("template.html")
WEAKEST_MARK = 0.2


@dataclass(frozen=True)
class Stage:
    """A stage in the model's lineage: its name, its artifact's fingerprint, its settings in readable form."""

    name: str
    fingerprint: str
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """The content of the report."""

    evaluation: Evaluation
    titles: Mapping[str, str]
    """Title of each baseline."""
    members: Mapping[str, MemberScores]
    """Every member of the stack, also those that did not join."""
    counts: Mapping[str, Ints]
    """Documents of each label [classes] in the splits train, validation and test."""
    history: Mapping[str, Floats]
    """Columns of the training history, one value per epoch."""
    validation: ValidationScores | None
    max_grad_norm: float | None
    """The norm above which gradients were clipped; None if unknown."""
    profiles: Sequence[GradientProfile] | None
    """Gradient profiles; empty for a model without recurrent layers, None if the model has no record of them."""
    findings: Findings
    doubtful_labels: int
    """How many of them are shown."""
    stages: Sequence[Stage]
    not_trained: str = ""
    """Why the RNN was not trained; empty if it was."""
    notices: Sequence[str] = ()
    """What a reader should know about the labels."""


def stages(lineage: Mapping[str, Any]) -> list[Stage]:
    """The stages of an artifact's lineage, in order; other entries are skipped."""
    return [
        Stage(name, str(entry.get("fingerprint", "")), dict(_flat(entry.get("settings") or {})))
        for name, entry in lineage.items()
        if isinstance(entry, Mapping)
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return pairs


def render(report: Report) -> str:
    """The report as HTML; equal reports give equal bytes."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    evaluation = report.evaluation
    return environment.get_template(TEMPLATE.name).render(
        page_style=Markup(PAGE_STYLE.read_text(encoding="utf-8").strip()),  # noqa: S704 a file of ours  # nosec B704
        report=report,
        e=evaluation,
        model=next((stage.fingerprint for stage in report.stages if stage.name == "stacking"), ""),
        several=any(member.without for member in report.members.values()),
        best=best_baseline(evaluation.baselines),
        verdict=verdict(evaluation.baselines, report.titles),
        share=rnn_share(report.members, evaluation.scores.accuracy.value, report.not_trained) if report.members else "",
        pictures=_pictures(report),
        marked=[marked(mistake) for mistake in report.findings.mistakes],
        words=words_by_label(report.findings.words),
        most_labels=MOST_LABELS_DRAWN,
        confusions=worst_confusions(evaluation.label_names, evaluation.confusion),
        curves=training_curves(report.history),
        gradients=gradient_pictures(report.history, report.max_grad_norm, report.profiles or []),
        confidence=f"{evaluation.resampling.confidence:.4g}",
        percent=f"{100 * evaluation.resampling.confidence:.4g} %",
    )


def marked(mistake: Mistake) -> list[tuple[str, str]]:
    """The pieces of a mistake's text, each with the class of its mark: `for`, `against`, and how strong, 1 to 3.

    Words below `WEAKEST_MARK` of the strongest one's amount have none.
    """
    strongest = max((abs(piece.amount) for piece in mistake.pieces), default=0.0) or 1.0

    def style(amount: float) -> str:
        strength = abs(amount) / strongest
        level = 1 + (strength > 0.4) + (strength > 0.7)
        return f"{'for' if amount > 0 else 'against'} s{level}" if strength >= WEAKEST_MARK else ""

    return [(piece.text, style(piece.amount)) for piece in mistake.pieces]


def words_by_label(words: Sequence[StrongWord]) -> dict[str, list[str]]:
    """The strongest words of the first labels, at most `MOST_LABELS_DRAWN`."""
    found: dict[str, list[str]] = {}
    for each in words:
        if each.label in found or len(found) < MOST_LABELS_DRAWN:
            found.setdefault(each.label, []).append(each.word)
    return found


def best_baseline(baselines: Mapping[str, Comparison]) -> str:
    """The most accurate baseline; ties go to the first."""
    return max(baselines, key=lambda name: baselines[name].scores.accuracy.value)


def verdict(baselines: Mapping[str, Comparison], titles: Mapping[str, str]) -> str:
    """The result of the comparison with the best baseline, in one sentence."""
    best = best_baseline(baselines)
    lead, name = baselines[best].accuracy_lead, titles[best]
    points = f"{abs(100 * lead.value):.1f} points"
    if lead.low > 0:
        return f"The model is more accurate than the best baseline ({name}), by {points}."
    if lead.high < 0:
        return f"The best baseline ({name}) is more accurate than the model, by {points}."
    if lead.value == 0:
        return f"The model and the best baseline ({name}) are equally accurate on these documents."
    side = "ahead of" if lead.value > 0 else "behind"
    return f"The model is {points} {side} the best baseline ({name}), which may be chance with so few documents."


def rnn_share(members: Mapping[str, MemberScores], accuracy: float, not_trained: str) -> str:
    """What the RNN contributes to the stack, whose accuracy is given, in one sentence."""
    if not_trained:
        return f"The RNN was not trained (training.when_useless: skip): {not_trained}."
    rnn = members.get("rnn")
    if rnn is None or not rnn.weight:
        return "The RNN did not join the stack: out of fold it did not lower the log-loss clearly."
    if rnn.without is None:
        return "The RNN is the only member of the stack: no other one lowered the out-of-fold log-loss clearly."
    change = 100 * (rnn.without.accuracy - accuracy)
    return (
        f"Without the RNN the accuracy would change by {change:+.1f} points "
        f"(McNemar p = {rnn.without.p_value:.2g}), and the log-loss by {rnn.without.log_loss_rise:+.4f} nats "
        f"(standard error {rnn.without.rise_standard_error:.4f})."
    )


def _pictures(report: Report) -> dict[str, Picture]:
    evaluation, names = report.evaluation, report.evaluation.label_names
    scores = [evaluation.scores, *(comparison.scores for comparison in evaluation.baselines.values())]
    titles = ["Model", *(report.titles[name] for name in evaluation.baselines)]
    shares = [Series(split, counts / max(1, counts.sum())) for split, counts in report.counts.items()]
    confusion = (
        {"confusion": figures.confusion(names, evaluation.confusion)} if len(names) <= MOST_LABELS_IN_MATRIX else {}
    )
    return confusion | {
        "forest": figures.forest(titles, [s.accuracy for s in scores], [s.macro_f1 for s in scores]),
        "labels": figures.label_scores(names, evaluation.f1, evaluation.per_label.support),
        "calibration": figures.calibration(evaluation.calibration.reliability),
        "balance": figures.balance(names, shares),
    }
