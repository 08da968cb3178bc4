"""The comparison as a page in Markdown, which Prefect's UI and any editor show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.drift.schema import FIGURES


def page(found: Mapping[str, Any]) -> str:
    """What stands in drift.json, for people."""
    then, now = found["then"], found["now"]
    lines = [
        "# Today's texts beside those that the champion was trained on",
        "",
        f"{now['documents']:,} texts ({found['new_documents']:,} that the champion's corpus lacks) beside "
        f"{then['documents']:,} training texts. Each figure goes from 0, which is alike, to 1.",
        "",
        "| what | moved by |",
        "| --- | ---: |",
        *(f"| {title} | {found['shifts'][name]:.3f} |" for name, title in FIGURES.items()),
        "",
        "| | then | now |",
        "| --- | ---: | ---: |",
        *(f"| share of {_cell(label)} | {_share(then, label)} | {_share(now, label)} |" for label in found["labels"]),
        *(f"| characters, {name} | {then['lengths'][name]:,} | {now['lengths'][name]:,} |" for name in now["lengths"]),
        f"| rare tokens | {then['rare_share']:.2%} | {now['rare_share']:.2%} |",
        "",
        "The tokens that moved most, in uses per thousand:",
        "",
        "| token | then | now |",
        "| --- | ---: | ---: |",
        *(f"| {_cell(t['token'])} | {t['then']:.2f} | {t['now']:.2f} |" for t in found["tokens"]),
    ]
    return "\n".join(lines) + "\n"


def _share(profile: Mapping[str, Any], label: str) -> str:
    return f"{profile['labels'].get(label, 0) / max(1, profile['documents']):.1%}"


def _cell(text: str) -> str:
    """Text that neither ends a cell nor is taken for markup."""
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|~" else c for c in text)
    return escaped.replace("\n", " ")
