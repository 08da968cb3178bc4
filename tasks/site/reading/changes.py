"""What changed between two runs, for people: the reasons for building a stage taken apart, and settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.shared.store.records import RunRecord

_CHANGE = re.compile(r"^(settings|sources|inputs|code|libraries) (.+?): (.*) → (.*)$", re.DOTALL)
CHAMPION = "champion"
"""Begins the names of inputs that come from the champion, and names it in a run's graph."""
KINDS = {"settings": "setting", "sources": "corpus", "inputs": "input", "code": "code", "libraries": "library"}


@dataclass(frozen=True)
class Why:
    """One reason for building: an ingredient with its old and its new value, or a sentence."""

    kind: str
    what: str
    before: str = ""
    after: str = ""


OTHER_CHAMPION = Why("", "the champion has changed")


@dataclass(frozen=True)
class Cause:
    """A change that comes from outside of the run, and the first stage that was built because of it."""

    stage: str
    why: Why


@dataclass(frozen=True)
class Setting:
    """A setting with the value of this run, the default, and that of the run before."""

    key: str
    value: str
    default: str
    before: str


def why_words(reasons: Sequence[str]) -> list[Why]:
    """The reasons of a record, taken apart."""
    return [_why(reason) for reason in reasons]


def _why(reason: str) -> Why:
    found = _CHANGE.match(reason)
    if found is None:
        return Why("", reason)
    kind, what, before, after = found.groups()
    return Why(KINDS[kind], what, before, after)


def causes(record: RunRecord) -> list[Cause]:
    """Why a run built anything: what changed, except inputs that its own stages had built before.

    A change that several stages name is given once.
    """
    found: dict[Why, Cause] = {}
    for entry in record.stages:
        for why in why_words(entry.reasons) if entry.status == "built" else ():
            if why.kind != "input":
                found.setdefault(why, Cause(entry.stage, why))
            elif why.what.startswith(CHAMPION):
                found.setdefault(OTHER_CHAMPION, Cause(entry.stage, OTHER_CHAMPION))
    return list(found.values())


def changed_settings(record: RunRecord, defaults: Mapping[str, Any], before: RunRecord | None) -> list[Setting]:
    """The settings that differ from the defaults or from the run before."""
    now, default = flat(record.settings), flat(defaults)
    former = flat(before.settings) if before else now
    return [
        Setting(key, value, default.get(key, "—"), former.get(key, "—"))
        for key, value in sorted(now.items())
        if value != default.get(key, value if not defaults else "—") or value != former.get(key, "—")
    ]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings with dotted keys and readable values."""
    values: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return values
