"""The comparison as a Markdown page, for Prefect's UI and any editor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.drift.schema import FIGURES
from tasks.vocabulary.tokenizer_file import token_text


def page(drift: Mapping[str, Any]) -> str:
    """The content of drift.json in readable form."""
    then, now = drift["then"], drift["now"]
    lines = [
        "# Drift from the champion's training texts to today's texts",
        "",
        f"{now['documents']:,} texts ({drift['new_documents']:,} that the champion's corpus lacks) compared with "
        f"{then['documents']:,} training texts. Each figure ranges from 0 (no drift) to 1.",
        "",
        "| figure | drift |",
        "| --- | ---: |",
        *(f"| {title} | {drift['shifts'][name]:.3f} |" for name, title in FIGURES.items()),
        "",
        "| | then | now |",
        "| --- | ---: | ---: |",
        *(f"| share of {_cell(label)} | {_share(then, label)} | {_share(now, label)} |" for label in drift["labels"]),
        *(f"| characters, {name} | {then['lengths'][name]:,} | {now['lengths'][name]:,} |" for name in now["lengths"]),
        f"| rare tokens | {then['rare_share']:.2%} | {now['rare_share']:.2%} |",
        "",
        "The tokens that contribute most, in occurrences per thousand. A token is a piece of text; ␣ is a space:",
        "",
        "| token | then | now |",
        "| --- | ---: | ---: |",
        *(f"| {_cell(token_text(t['token']))} | {t['then']:.2f} | {t['now']:.2f} |" for t in drift["tokens"]),
    ]
    return "\n".join(lines) + "\n"


def _share(profile: Mapping[str, Any], label: str) -> str:
    return f"{profile['labels'].get(label, 0) / max(1, profile['documents']):.1%}"


def _cell(text: str) -> str:
    """Text escaped for a table cell."""
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|~" else c for c in text)
    return escaped.replace("\n", " ")
