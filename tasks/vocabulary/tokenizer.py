"""Encodes texts with a vocabulary, and decodes token ids.

`tiktoken` does the work: on the same vocabulary it gives the same ids as Hugging Face `tokenizers`, several times
faster (`benchmarks/vocabulary.py`). It merges any two neighbours whose bytes together are a token, in the order the
tokens were learned; `tokenizers` merges the listed pairs. The results are equal: when a token's turn comes, the earlier
merges have left only one pair of neighbours for its bytes, the pair that it was learned from.
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
    """Text to token ids and back; encoding and decoding returns the same text."""

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
        """Loads a tokenizer.json. Raises ArtifactError if it is missing or damaged."""
        return cls(read_vocabulary(path))

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """The token ids of each text, [tokens], as uint16 if the vocabulary's size allows, else uint32.

        Texts are spread over all cores. "[PAD]" in a text is ordinary text.
        """
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(self._encode, texts))

    def _encode(self, text: str) -> TokenIds:
        return self._tiktoken.encode_to_numpy(text, disallowed_special=()).astype(self.id_type)

    def decode(self, ids: Sequence[int] | TokenIds) -> str:
        """The text of the token ids; bytes that are not a whole character become U+FFFD.

        Raises ValueError for an id that is not in the vocabulary.
        """
        numbers = np.asarray(ids, np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.size:
            raise ValueError(f"token ids go from 0 to {self.size - 1}, found {numbers.min()} to {numbers.max()}")
        return self._tiktoken.decode(numbers.tolist(), errors="replace")
