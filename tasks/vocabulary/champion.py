"""Whether the champion's vocabulary still suits the training texts, so that it need not be learned anew.

It was learned from other training texts, and its table says how often these use each token. Two figures say how well it
suits the present ones: tokens per byte (fertility: unfamiliar words fall apart into more tokens), and the share of
tokens that were rare then. Both are compared with what they were when it was learned, not when it was last kept, so
small steps add up.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_table
from tasks.vocabulary.schema import DATASET, LEARNED, TOKENIZER
from tasks.vocabulary.tokenizer_file import FIRST_BYTE, PATTERN, read_vocabulary

if TYPE_CHECKING:
    from tasks.vocabulary.tokenizer import Encoder

LINE_BREAK = FIRST_BYTE + ord("\n")
RARE = 5
"""A token is rare if the texts that the vocabulary was learned from use it fewer times."""
SIZE_WITHIN = 0.25
"""By which the default size may grow or shrink, which follows the number of training texts."""
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """What a vocabulary was learned to be."""

    size: int | None
    """The setting; None: the default for so many texts."""
    tokens: int
    """At most so many, by the setting or by default."""
    min_count: int

    def write(self, folder: Path) -> None:
        """Writes it beside the vocabulary."""
        (folder / LEARNED).write_text(json.dumps(vars(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Asked | None:
        """What the vocabulary in `folder` was learned to be; None for one of an earlier version."""
        try:
            return cls(**json.loads((folder / LEARNED).read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(f"{folder / LEARNED}: damaged ({error}); delete its folder and run again") from error


@dataclass(frozen=True)
class Fit:
    """How well an earlier vocabulary suits the present texts."""

    why_not: str
    """Why it must be learned anew, in words; empty if it suits."""
    figures: dict[str, float]
    """How far tokens per byte, as a share, and the share of rare tokens rose; empty if they were not measured."""


def measure_fit(
    champion: Path,
    pieces: Sequence[bytes],
    times: Counts,
    asked: Asked,
    max_fertility_rise: float,
    max_rare_rise: float,
) -> Fit:
    """Compares the present texts' pieces, each of which occurs so many times, with those that it was learned from.

    Raises ArtifactError if the vocabulary is damaged.
    """
    before = Asked.read(champion)
    if before is None or (vocabulary := read_vocabulary(champion / TOKENIZER)).pattern != PATTERN:
        return Fit("an earlier version of corpusflow learned the champion's", {})
    if why_not := _asked_otherwise(before, asked):
        return Fit(why_not, {})
    from tasks.vocabulary.tokenizer import Encoder  # tiktoken

    encoder = Encoder(vocabulary)
    table = read_table(champion / DATASET, ["bytes", "count"])
    then, lengths = table["count"].to_numpy(), np.array([len(token) for token in table["bytes"].to_pylist()], np.int64)
    now = token_counts(encoder, pieces, times)
    rare = then < RARE
    fertility = [float(counts.sum() / max(1, (counts * lengths).sum())) for counts in (then, now)]
    rare_share = [float(counts[rare].sum() / max(1, counts.sum())) for counts in (then, now)]
    rise, rare_rise = fertility[1] / fertility[0] - 1, rare_share[1] - rare_share[0]
    figures = {"fertility_rise": round(rise, 4), "rare_rise": round(rare_rise, 4)}
    reasons = []
    if rise > max_fertility_rise:
        reasons.append(f"tokens per byte rose by {rise:.1%}, vocabulary.max_fertility_rise is {max_fertility_rise:.1%}")
    if rare_rise > max_rare_rise:
        reasons.append(
            f"the share of rare tokens rose by {rare_rise:.2%}, vocabulary.max_rare_rise is {max_rare_rise:.2%}"
        )
    return Fit("; ".join(reasons), figures)


def token_counts(encoder: Encoder, pieces: Sequence[bytes], times: Counts) -> Counts:
    """How often texts use each token, [size], if each of these distinct pieces occurs so many times.

    All pieces but line breaks are encoded as one text, each with a line break after it: no piece has both.
    """
    is_break = np.array([piece[:1] == b"\n" for piece in pieces], bool)
    lines = b"".join(piece + b"\n" for piece in pieces if piece[:1] != b"\n")
    ids = encoder.encode_one(lines.decode())
    ends = ids == LINE_BREAK
    line = np.cumsum(ends)[~ends]
    counts = np.zeros(encoder.size, np.int64)
    np.add.at(counts, ids[~ends], times[~is_break][line])
    for number in np.flatnonzero(is_break).tolist():
        np.add.at(counts, encoder.encode_one(pieces[number].decode()), times[number])
    return counts


def _asked_otherwise(before: Asked, asked: Asked) -> str:
    if (before.size, before.min_count) != (asked.size, asked.min_count):
        return "vocabulary.size or vocabulary.min_count changed"
    if abs(asked.tokens - before.tokens) > SIZE_WITHIN * before.tokens:
        return (
            f"for so many training texts it has {asked.tokens:,} tokens, the champion's was to have {before.tokens:,}"
        )
    return ""


def copy(champion: Path, out: Path) -> dict[str, Any]:
    """Copies the champion's vocabulary, byte for byte; returns its figures for the summary."""
    for name in (TOKENIZER, LEARNED):
        shutil.copyfile(champion / name, out / name)
    shutil.copytree(champion / DATASET, out / DATASET)
    counts = read_table(out / DATASET, ["count"])["count"].to_numpy()
    return {
        "rows": len(counts),
        "used": int(np.count_nonzero(counts)),
        "training_tokens": int(counts.sum()),
        "kept": "the champion's vocabulary",
    }
