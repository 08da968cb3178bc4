"""Renders the templates of the site: everything inline, and a policy that lets nothing else be loaded or run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.shared.checks.words import number
from tasks.shared.ui.markdown import size
from tasks.shared.ui.style import PAGE_STYLE
from tasks.site.reading.shelf import Frame
from tasks.vocabulary.tokenizer_file import token_text

TEMPLATES = Path(__file__).with_name("templates")
SCRIPT = TEMPLATES / "site.js"
JOINERS = "\u200c\u200d"


@cache
def environment() -> Environment:
    """The templates, and the filters that they use."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"size": size, "number": number, "shown": shown, "when": when, "percent": percent}
    made.filters |= {
        "breaks": breaks,
        "token_text": token_text,
        "signed": signed,
        "decimals": decimals,
        "listed": listed,
    }
    return made


@cache
def _inline(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


def _css(file: Path) -> Markup:
    return Markup(_inline(file))  # noqa: S704 a file of ours  # nosec B704


@cache
def policy() -> str:
    """The content security policy: the page's own script, inline styles, pictures as data; nothing from elsewhere."""
    digest = base64.b64encode(hashlib.sha256(_inline(SCRIPT).encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def render(template: str, path: str, frame: Frame, content: Mapping[str, Any]) -> str:
    """A page; `path` is where it will lie in the site, from which links to other pages start."""
    return (
        environment()
        .get_template(template)
        .render(
            **content,
            frame=frame,
            root="../" * path.count("/"),
            here=path,
            page_style=_css(PAGE_STYLE),
            css=lambda name: _css(TEMPLATES / name),
            script=_inline(SCRIPT),
            policy=policy(),
        )
    )


def shown(value: object, most: int = 200) -> str:
    """A value as text: cut, without invisible characters; line breaks stay."""
    if isinstance(value, float):
        return number(value)
    text = "" if value is None else str(value)
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c if c.isprintable() or c in JOINERS or c == "\n" else " " if c.isspace() else "·" for c in cut)


def when(moment: str) -> str:
    """A moment in UTC, to the second: two runs may begin in one minute."""
    return f"{moment[:10]} {moment[11:19]}"


def breaks(key: str) -> Markup:
    """A setting's key, whose lines break after dots and underscores alone."""
    return Markup(str(escape(key)).replace(".", ".<wbr>").replace("_", "_<wbr>"))  # noqa: S704 escaped  # nosec B704


def decimals(value: float | None) -> str:
    """A figure with three decimals; one that is too small for them, or whole, as `number` writes it."""
    if value is None:
        return ""
    return f"{value:,.3f}" if isinstance(value, float) and abs(value) >= 0.0005 and value % 1 else number(value)


def listed(values: Sequence[Any], most: int = 6) -> str:
    """The first values of a list, and how many more it has."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(decimals(v) if isinstance(v, float) else shown(v, 40) for v in values[:most]) + more


def signed(difference: float) -> str:
    """A difference of scores with its sign."""
    return f"{difference:+.3f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "" if share is None else f"{100 * share:.1f} %"
