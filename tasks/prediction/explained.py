"""Explanations of predictions: as JSON values, and as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.stacking.explanation import Explanation

TOP = 10
"""Terms that are shown of a text."""
WIDTH = 24
"""Characters of the longest bar."""


def explanation_as_json(explanation: Explanation, top: int = TOP) -> dict[str, Any]:
    """The `top` strongest terms; the others are counted and summed, so the amounts still add up to the log-odds."""
    shown, others = explanation.terms[:top], explanation.terms[top:]
    return {
        "label": explanation.label,
        "against": explanation.other,
        "log_odds": explanation.log_odds,
        "terms": [
            {"term": term.text, "amount": term.amount, "share": term.share, "members": dict(term.members)}
            for term in shown
        ],
        "other_terms": {"terms": len(others), "amount": sum(term.amount for term in others)},
        "not_divided": dict(explanation.rest),
    }


def explanation_lines(explained: dict[str, Any]) -> list[str]:
    """What `explanation_as_json` gives, for people: a bar per term, `+` for the label and `−` for the other one."""
    terms, others = explained["terms"], explained["other_terms"]
    longest = max((abs(term["amount"]) for term in terms), default=1.0) or 1.0
    lines = [f"  why {explained['label']} and not {explained['against']}: log-odds {_signed(explained['log_odds'])}"]
    for term in terms:
        bar = "█" * max(1, round(WIDTH * abs(term["amount"]) / longest))
        shown = term["term"].replace("\n", "⏎")
        lines.append(f"  {_signed(term['amount'])} {term['share']:4.0%}  {bar:<{WIDTH}}  {shown}")
    if others["terms"]:
        lines.append(f"  {_signed(others['amount'])}        {others['terms']:,} other words and pairs together")
    rest = ", ".join(f"{name} {_signed(amount)}" for name, amount in explained["not_divided"].items())
    lines.append(f"  {_signed(sum(explained['not_divided'].values()))}        of no word ({rest})")
    return lines


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
