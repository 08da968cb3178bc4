"""Encodes texts with a vocabulary, and decodes token ids.

`tiktoken` does the work: on the same vocabulary it gives the same ids as Hugging Face `tokenizers`, several times
faster (`benchmarks/vocabulary.py`). It merges any two neighbours whose bytes together are a token, in the order the
tokens were learned; `tokenizers` merges the listed pairs. The results are equal: when a token's turn comes, the earlier
merges have left only one pair of neighbours for its bytes, the pair that it was learned from. Its time grows with the
square of a piece's length, so texts with long runs are cut by the bounded pattern, and others by the faster one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import tiktoken

from tasks.vocabulary.schema import id_type
from tasks.vocabulary.tokenizer_file import (
    FIRST_BYTE,
    PATTERN,
    PIECE_CHARACTERS,
    SPECIAL_TOKENS,
    UNBOUNDED_PATTERN,
    Vocabulary,
    read_vocabulary,
)

TokenIds = npt.NDArray[np.unsignedinteger]
_OTHER_SPACE = re.compile(r"[^\S \t-\r]")
"""White space that is not ASCII, which a run of white space can have between."""


class Encoder:
    """Text to token ids and back; encoding and decoding returns the same text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.size = vocabulary.size
        self.id_type = id_type(self.size).to_pandas_dtype()
        self._vocabulary = vocabulary
        bounded = vocabulary.pattern == PATTERN
        self._tiktoken = self._encoding(UNBOUNDED_PATTERN if bounded else vocabulary.pattern)
        self._long_runs = may_have_long_runs if bounded else lambda _: False

    def _encoding(self, pattern: str) -> tiktoken.Encoding:
        tokens = self._vocabulary.tokens
        return tiktoken.Encoding(
            "corpusflow",
            pat_str=pattern,
            mergeable_ranks={token: number for number, token in enumerate(tokens) if number >= FIRST_BYTE},
            special_tokens={name: number for number, name in enumerate(SPECIAL_TOKENS)},
        )

    @cached_property
    def _bounded(self) -> tiktoken.Encoding:
        return self._encoding(self._vocabulary.pattern)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Loads a tokenizer.json. Raises ArtifactError if it is missing or damaged."""
        return cls(read_vocabulary(path))

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """The token ids of each text, [tokens], as uint16 if the vocabulary's size allows, else uint32.

        Texts are spread over all cores. "[PAD]" in a text is ordinary text.
        """
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(self.encode_one, texts))

    def encode_one(self, text: str) -> TokenIds:
        """The token ids of one text, on this thread."""
        chosen = self._bounded if self._long_runs(text) else self._tiktoken
        return chosen.encode_to_numpy(text, disallowed_special=()).astype(self.id_type)

    def decode(self, ids: Sequence[int] | TokenIds) -> str:
        """The text of the token ids; bytes that are not a whole character become U+FFFD.

        Raises ValueError for an id that is not in the vocabulary.
        """
        numbers = np.asarray(ids, np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.size:
            raise ValueError(f"token ids go from 0 to {self.size - 1}, found {numbers.min()} to {numbers.max()}")
        return self._tiktoken.decode(numbers.tolist(), errors="replace")


def may_have_long_runs(text: str) -> bool:
    """Whether a text can have a piece of more than 64 characters; sometimes true for one that has none.

    Looks for more than 64 bytes without ASCII white space, and as much white space in a row: a tenth of the time that
    encoding takes.
    """
    content = np.frombuffer(text.encode(), np.uint8)
    if len(content) <= PIECE_CHARACTERS:
        return False
    spaces = np.flatnonzero((content == 32) | ((content >= 9) & (content <= 13)))
    bounds = np.empty(len(spaces) + 2, np.int64)
    bounds[0], bounds[1:-1], bounds[-1] = -1, spaces, len(content)
    if (bounds[1:] - bounds[:-1]).max() > PIECE_CHARACTERS + 1:
        return True
    in_a_row = spaces[PIECE_CHARACTERS:] - spaces[:-PIECE_CHARACTERS] == PIECE_CHARACTERS
    return bool(in_a_row.any()) or (not text.isascii() and _OTHER_SPACE.search(text) is not None)
