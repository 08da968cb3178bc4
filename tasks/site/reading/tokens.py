"""Token ids as the pieces of text that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tasks.shared.parquet import read_table

TOKENS_SHOWN = 120


@dataclass(frozen=True)
class Spelled:
    """The first tokens of a text, and how many more it has."""

    pieces: Sequence[str]
    more: int

    def __str__(self) -> str:
        return "".join(self.pieces)


class Tokens:
    """The tokens of a vocabulary."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = pieces

    def spell(self, ids: Sequence[int]) -> Spelled:
        """The pieces of a text; a byte that is only part of a character is shown as ‹e2›, an unknown id as ‹?›."""
        known = len(self.pieces)
        pieces = [self.pieces[i] if i < known else "‹?›" for i in ids[:TOKENS_SHOWN]]
        return Spelled(pieces, max(0, len(ids) - TOKENS_SHOWN))


@lru_cache(maxsize=2)
def read_tokens(folder: Path) -> Tokens:
    """The tokens of a vocabulary's table, in the order of their ids."""
    table = read_table(folder, ["text", "bytes", "token"])
    rows = zip(*(table[name].to_pylist() for name in ("text", "bytes", "token")), strict=True)
    return Tokens([_piece(text, data, token) for text, data, token in rows])


def _piece(text: str | None, data: bytes, token: str) -> str:
    if text:
        return text
    return "".join(f"‹{byte:02x}›" for byte in data) or token
