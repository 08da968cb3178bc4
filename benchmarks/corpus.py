"""A labelled corpus of any size, generated: the same for the same seed, and its first texts the same for any size.

    python -m benchmarks.corpus texts.parquet [--texts 5000] [--labels 20] [--seed 0] …

Words follow Zipf's law; one in ten is a word that its label prefers. Some texts repeat an earlier one, exactly or but
for a word, and some have what cleaning removes: typographic quotes, double spaces, control characters, decomposed
accents. Texts are generated a thousand at a time, so memory does not grow with their number.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.shared.batched import batched
from tasks.shared.parquet import PartWriter

BLOCK = 1000
"""Texts generated at a time, with a seed of their own."""
LABEL_WORDS = 200
"""Words that a label prefers."""
REMEMBERED = 500
"""Texts that can be repeated: the last ones of the block."""
SCHEMA = pa.schema([("number", pa.string()), ("label", pa.string()), ("text", pa.string())])
"""`number` counts the texts, in nine digits."""


@dataclass(frozen=True)
class Recipe:
    """What the texts are like; the shares are from 0 to 1."""

    labels: int = 20
    words: int = 300
    """Mean length of a text."""
    vocabulary: int = 100_000
    label_share: float = 0.1
    """Words that come from those that the label prefers."""
    duplicates: float = 0.01
    near_duplicates: float = 0.01
    dirty: float = 0.05


class Text(NamedTuple):
    label: str
    text: str


def generate(recipe: Recipe = Recipe(), seed: int = 0) -> Iterator[Text]:
    """Texts without end."""
    rng = np.random.default_rng(seed)
    vocabulary = _vocabulary(recipe.vocabulary, rng)
    zipf = np.cumsum(1 / np.arange(2.7, recipe.vocabulary + 2.7))  # Mandelbrot's offset
    preferred = rng.integers(50, recipe.vocabulary, (recipe.labels, LABEL_WORDS))
    block = 0
    while True:
        yield from _block(recipe, vocabulary, zipf / zipf[-1], preferred, np.random.default_rng([seed, block]))
        block += 1


def _block(
    recipe: Recipe,
    vocabulary: npt.NDArray[np.object_],
    zipf: npt.NDArray[np.float64],
    preferred: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Iterator[Text]:
    labels = rng.integers(0, recipe.labels, BLOCK)
    lengths = np.maximum(1, rng.poisson(recipe.words, BLOCK))
    fates = rng.random(BLOCK)
    recent: deque[Text] = deque(maxlen=REMEMBERED)
    for label, length, fate in zip(labels.tolist(), lengths.tolist(), fates.tolist(), strict=True):
        if recent and fate < recipe.duplicates:
            yield recent[int(rng.integers(len(recent)))]
            continue
        if recent and fate < recipe.duplicates + recipe.near_duplicates:
            earlier = recent[int(rng.integers(len(recent)))]
            yield earlier._replace(text=f"{earlier.text} {vocabulary[int(rng.integers(len(vocabulary)))]}")
            continue
        numbers = np.searchsorted(zipf, rng.random(length))
        chosen = rng.random(length) < recipe.label_share
        numbers[chosen] = preferred[label, rng.integers(0, LABEL_WORDS, int(chosen.sum()))]
        text = _prose(vocabulary[numbers].tolist(), rng)
        made = Text(f"label{label:04d}", _soil(text) if fate > 1 - recipe.dirty else text)
        recent.append(made)
        yield made


def _vocabulary(size: int, rng: np.random.Generator) -> npt.NDArray[np.object_]:
    """Distinct words, the frequent ones short; a number at the end keeps rare ones apart."""
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    words: dict[str, None] = {}
    while len(words) < size:
        length = 1 + int(np.log2(2 + len(words)) / 2) + int(rng.integers(0, 4))
        words["".join(rng.choice(letters, length).tolist())] = None
    return np.array(list(words), object)


def _prose(words: list[str], rng: np.random.Generator) -> str:
    """Sentences of 5 to 25 words, in paragraphs."""
    sentences, start = [], 0
    while start < len(words):
        sentence = words[start : start + int(rng.integers(5, 26))]
        start += len(sentence)
        comma = len(sentence) // 2
        sentence[0] = sentence[0].capitalize()
        sentence[comma] += ","
        sentences.append(" ".join(sentence) + ".")
    return "\n\n".join(" ".join(paragraph) for paragraph in batched(sentences, 6))


def _soil(text: str) -> str:
    """What cleaning removes."""
    return text.replace(" a", "  a").replace("e", "e\u0301", 3).replace("\n\n", "\n \t\n").replace(". ", ".\x07 “", 2)


def write(path: Path, texts: int, recipe: Recipe = Recipe(), seed: int = 0) -> None:
    """Writes a folder of Parquet parts."""
    with PartWriter(path, SCHEMA) as writer:
        for first, block in enumerate(batched(islice(generate(recipe, seed), texts), BLOCK)):
            numbers = [f"{first * BLOCK + n:09d}" for n in range(len(block))]
            labels, written = zip(*block, strict=True)
            writer.write(pa.RecordBatch.from_arrays([pa.array(v) for v in (numbers, labels, written)], schema=SCHEMA))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of Parquet parts with the columns number, label, text")
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    for name, default in vars(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    values = vars(parser.parse_args())
    folder, texts, seed = (values.pop(name) for name in ("folder", "texts", "seed"))
    write(folder, texts, Recipe(**values), seed)


if __name__ == "__main__":
    main()
