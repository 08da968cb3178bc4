"""What pydantic finds wrong with settings, in plain words: file, key, what was given, what is allowed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

MOST_CHARACTERS, MOST_FAULTS = 80, 3
"""Of what was given, and of faults, in a message."""
PLAIN_WORDS = {
    "model_type": "should have keys below it; remove the line, or write the keys on lines of their own",
    "path_type": "should be a path",
}
"""Messages for some types of pydantic's errors."""
RENAMED_KEYS = {
    "checks.tokenization.max_tokens_per_character": "max_tokens_per_byte",
    "checks.tokenization.min_tokens_per_character": "min_tokens_per_byte",
    "promotion.least_gain": "min_gain",
    "training.batch_windows": "batch_size",
    "training.clip_norm": "max_grad_norm",
    "training.layers": "num_layers",
    "training.warmup_share": "warmup_fraction",
}
"""Keys of earlier versions, each with its current name in the same section."""


def explain(path: Path, model: type[BaseModel], error: ValidationError) -> str:
    """The first faults on one line, one for each key."""
    faults = {_place(model, fault["loc"]): dict(fault) for fault in reversed(error.errors())}
    told = [_in_words(path, model, where, fault) for where, fault in reversed(faults.items())]
    return "; ".join(told[:MOST_FAULTS])


def _place(model: type[BaseModel], location: Sequence[int | str]) -> str:
    """The key that an error is about, without the names of types that pydantic appends for a choice of types."""
    section: Any = model
    parts: list[str] = []
    for part in location:
        if not isinstance(part, int) and not hasattr(section, "model_fields"):
            break
        parts.append(str(part))
        section = _section(section, part)
    return ".".join(parts)


def _section(section: Any, key: int | str) -> Any:
    """What a key of a section holds: a section, or something without fields."""
    field = getattr(section, "model_fields", {}).get(key)
    annotation = field.annotation if field else None
    return next((a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")), annotation)


def _in_words(path: Path, model: type[BaseModel], where: str, fault: Mapping[str, Any]) -> str:
    """One of pydantic's errors, in plain words."""
    if fault["type"] == "extra_forbidden":
        if where in RENAMED_KEYS:
            return f"{path}: {where}: unknown key; it is called {RENAMED_KEYS[where]} now"
        allowed = list(_fields(model, fault["loc"][:-1]))
        close = difflib.get_close_matches(str(fault["loc"][-1]), allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{path}: {where}: unknown key; {hint}allowed: {', '.join(allowed)}"
    message = PLAIN_WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if fault["type"] == "string_type" and isinstance(fault["input"], int | float | date):
        message = "should be a text; write it in quotes"
    given = json.dumps(fault["input"], ensure_ascii=False, default=str)
    given = given.strip('"') if isinstance(fault["input"], date) else given
    given = given if len(given) <= MOST_CHARACTERS else f"{given[: MOST_CHARACTERS - 1]}…"
    contradicts = fault["type"] == "value_error" and isinstance(fault["input"], Mapping)  # the message has the values
    place = f"{path}: {where}" if where else f"{path}"
    return f"{place}: {message if contradicts else f'given {given}; {message}'}"


def _fields(model: type[BaseModel], location: Sequence[int | str]) -> Iterator[str]:
    section: Any = model
    for part in location:
        section = _section(section, part)
    yield from section.model_fields
