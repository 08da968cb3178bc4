"""Texts as ids: of lower-cased words, for the input `evidence`, or of byte-level BPE tokens, for `embeddings`."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.shared.errors import ArtifactError
from tasks.vocabulary.schema import TOKENIZER

Ids = NDArray[np.int32]
PADDING, UNKNOWN, FIRST = 0, 1, 2
"""Ids that are no word's, and the first word's; BPE has the same ones."""
WORDS = "vocabulary.parquet"
_WORD = re.compile(r"\n+|[^\W\d_]+|\d+|[^\w\s]|_")


class Vocabulary(Protocol):
    """What turns texts into ids."""

    @property
    def size(self) -> int:
        """Ids, those of padding and of unknown words included."""
        ...

    def encode(self, texts: Iterable[str]) -> list[Ids]:
        """The ids of each text, [tokens]; a text without any gets one unknown word."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the vocabulary into an existing folder."""
        ...


def split_words(text: str) -> list[str]:
    """Lower-cased runs of letters, runs of digits, and single other characters; successive line breaks are one."""
    return ["\n" if word[0] == "\n" else word for word in _WORD.findall(text.lower())]


def locate_words(lowered: str) -> list[tuple[int, int]]:
    """Start and end of each of the words that `split_words` gives, in the lower-cased text."""
    return [match.span() for match in _WORD.finditer(lowered)]


class WordVocabulary:
    """Lower-cased words."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._ids = {word: number for number, word in enumerate(self.words, FIRST)}

    @classmethod
    def learn(cls, texts: Iterable[str], max_size: int) -> WordVocabulary:
        """The words of two or more texts; of more than `max_size` those with the highest counts."""
        counts: Counter[str] = Counter()
        frequencies: Counter[str] = Counter()
        for text in texts:
            words = split_words(text)
            counts.update(words)
            frequencies.update(set(words))
        return cls([word for word, _ in counts.most_common() if frequencies[word] > 1][:max_size])

    @property
    def size(self) -> int:
        """See Vocabulary."""
        return FIRST + len(self.words)

    def encode(self, texts: Iterable[str]) -> list[Ids]:
        """See Vocabulary."""
        ids = ([self._ids.get(word, UNKNOWN) for word in split_words(text)] for text in texts)
        return [np.array(some or [UNKNOWN], np.int32) for some in ids]

    def save(self, folder: Path) -> None:
        """See Vocabulary."""
        pq.write_table(pa.table({"word": pa.array(self.words, pa.string())}), folder / WORDS, compression="zstd")

    @classmethod
    def load(cls, folder: Path) -> WordVocabulary:
        """What `save` has written. Raises ArtifactError for a missing or damaged file."""
        try:
            with pq.ParquetFile(folder / WORDS) as file:  # read_table would import pandas
                return cls(file.read()["word"].to_pylist())
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ArtifactError(f"{folder / WORDS}: not readable ({error}); train again") from error


class SubwordVocabulary:
    """The byte-level BPE vocabulary of an earlier stage, in the file `tokenizer.json`."""

    def __init__(self, path: Path, max_tokens: int | None = None) -> None:
        from tasks.vocabulary.tokenizer import Encoder  # tiktoken, which words do without

        self.path, self._max_tokens = path, max_tokens
        self._encoder = Encoder.from_file(path)

    @property
    def size(self) -> int:
        """See Vocabulary."""
        return self._encoder.size

    def encode(self, texts: Iterable[str]) -> list[Ids]:
        """See Vocabulary."""
        found = (ids[: self._max_tokens] for ids in self._encoder.encode(list(texts)))
        return [ids.astype(np.int32) if len(ids) else np.array([UNKNOWN], np.int32) for ids in found]

    def save(self, folder: Path) -> None:
        """See Vocabulary."""
        shutil.copyfile(self.path, folder / TOKENIZER)


def load_vocabulary(folder: Path, max_tokens: int | None = None) -> Vocabulary:
    """The vocabulary that was saved in the folder."""
    return (
        SubwordVocabulary(folder / TOKENIZER, max_tokens)
        if (folder / TOKENIZER).exists()
        else WordVocabulary.load(folder)
    )
