"""Encodes texts with a vocabulary, and decodes them again.

`tiktoken` does the work: on the same vocabulary it gives the ids that Hugging Face `tokenizers` gives, several times
faster (`benchmarks/vocabulary.py`). It joins any two neighbours whose bytes together are a token, the token learned
first going first; `tokenizers` joins the listed pairs. These are the same: before a token's turn comes, the earlier
merges leave only one pair of neighbours for its bytes, namely the pair that it was learned from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import tiktoken

from tasks.vocabulary.schema import id_type
from tasks.vocabulary.tokenizer_file import FIRST_BYTE, SPECIAL_TOKENS, Vocabulary, read_vocabulary

TokenIds = npt.NDArray[np.unsignedinteger]


class Encoder:
    """Text to token ids and back; what is encoded always decodes to the same text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.size = vocabulary.size
        self.id_type = id_type(self.size).to_pandas_dtype()
        self._tiktoken = tiktoken.Encoding(
            "corpusflow",
            pat_str=vocabulary.pattern,
            mergeable_ranks={token: number for number, token in enumerate(vocabulary.tokens) if number >= FIRST_BYTE},
            special_tokens={name: number for number, name in enumerate(SPECIAL_TOKENS)},
        )

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Loads a tokenizer.json. Raises ArtifactError where it is missing or damaged."""
        return cls(read_vocabulary(path))

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """The token ids of each text, as uint16 where the vocabulary's size allows, else uint32.

        Texts are spread over all cores. A text that says "[PAD]" is a text like any other.
        """
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(self._encode, texts))

    def _encode(self, text: str) -> TokenIds:
        return self._tiktoken.encode_to_numpy(text, disallowed_special=()).astype(self.id_type)

    def decode(self, ids: Sequence[int] | TokenIds) -> str:
        """The text of some token ids; bytes that are no whole character become U+FFFD.

        Raises ValueError at an id that the vocabulary does not have.
        """
        numbers = np.asarray(ids, np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.size:
            raise ValueError(f"token ids go from 0 to {self.size - 1}, found {numbers.min()} to {numbers.max()}")
        return self._tiktoken.decode(numbers.tolist(), errors="replace")
