"""Dropped texts next to the texts that they repeat."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from tasks.cleaning.schema import DROPPED_DATASET
from tasks.extraction.schema import DATASET
from tasks.shared.parquet import part_files, read_batches
from tasks.site.reading.tables import rows_with

PAIRS, CHARACTERS = 60, 700
_ORIGINAL = re.compile(r"^(?:same text as|nearly the text of) (.+?)(?:, similarity |, which has )", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """Some words, and whether the other text has them too."""

    text: str
    own: bool


@dataclass(frozen=True)
class Pair:
    """A dropped text and, if it repeats one, that text."""

    doc_id: str
    label: str
    reason: str
    detail: str
    text: Sequence[Piece]
    original: str
    original_label: str
    original_text: Sequence[Piece]


def read_pairs(artifact: Path) -> list[Pair]:
    """The first dropped texts of a cleaned artifact; reads of the kept ones only those that they repeat."""
    dropped = _first(artifact / DROPPED_DATASET)
    named = {row["doc_id"]: _original(row["detail"]) for row in dropped}
    wanted = sorted({name for name in named.values() if name})
    columns = ["doc_id", "label", "text"]
    kept = rows_with(part_files(artifact / DATASET), "doc_id", wanted, columns) if wanted else []
    missing = sorted(set(wanted) - {row["doc_id"] for row in kept})
    kept += rows_with(part_files(artifact / DROPPED_DATASET), "doc_id", missing, columns) if missing else []
    originals = {row["doc_id"]: row for row in kept}
    return [_pair(row, originals.get(named[row["doc_id"]])) for row in dropped]


def _first(folder: Path) -> list[dict[str, Any]]:
    batch = next(read_batches(folder, rows=PAIRS), None)
    rows: list[dict[str, Any]] = [] if batch is None else batch.to_pylist()
    return rows


def _original(detail: str) -> str:
    found = _ORIGINAL.match(detail)
    return found[1] if found else ""


def _pair(row: Mapping[str, Any], original: Mapping[str, Any] | None) -> Pair:
    text = row["text"][:CHARACTERS]
    other = "" if original is None else original["text"][:CHARACTERS]
    differs = original is not None and row["reason"] == "near_duplicate"
    mine, theirs = compare(text, other) if differs else ([Piece(text, False)], [Piece(other, False)])
    return Pair(
        doc_id=row["doc_id"],
        label=row["label"],
        reason=row["reason"],
        detail=row["detail"],
        text=mine,
        original="" if original is None else original["doc_id"],
        original_label="" if original is None else original["label"],
        original_text=theirs,
    )


def compare(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces; a piece of words that the other text lacks there is its `own`."""
    first, second = one.split(), other.split()
    steps = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    return list(_pieces(first, [(tag, a, b) for tag, a, b, _, _ in steps])), list(
        _pieces(second, [(tag, a, b) for tag, _, _, a, b in steps])
    )


def _pieces(words: Sequence[str], steps: Sequence[tuple[str, int, int]]) -> Iterator[Piece]:
    yield from (Piece(" ".join(words[a:b]), tag != "equal") for tag, a, b in steps if a < b)
