"""Extracted documents in several parts, and what the stages from cleaning to tokenization make of them."""

from __future__ import annotations

import hashlib
from concurrent.futures import Executor
from pathlib import Path
from random import Random

import pytest

from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.task import clean
from tasks.extraction.schema import DATASET, DOCUMENTS
from tasks.shared.parquet import PartWriter
from tasks.splitting.settings import SplittingSettings
from tasks.splitting.task import split
from tasks.tokenization.settings import TokenizationSettings
from tasks.tokenization.task import tokenize
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.task import learn_vocabulary

ROW_GROUP_BYTES = 4096


def cut_finely(monkeypatch: pytest.MonkeyPatch, size: int = ROW_GROUP_BYTES) -> None:
    """Every row group is a part, and no dataset is too small for workers."""
    monkeypatch.setattr("tasks.shared.parts.part.SMALLEST", size)
    monkeypatch.setattr("tasks.shared.parts.make.SMALL_BYTES", 0)


def write_extracted(folder: Path, documents: int = 120) -> Path:
    """Documents of three labels: every ninth repeats an earlier one, every tenth nearly, and some are too short."""
    random, texts = Random(0), list[str]()
    words = [f"{stem}{ending}" for stem in "river stone cloud apple winter".split() for ending in "abcdefghij"]
    with PartWriter(
        folder / DATASET, DOCUMENTS, part_bytes=4 * ROW_GROUP_BYTES, row_group_bytes=ROW_GROUP_BYTES
    ) as writer:
        for number in range(documents):
            text = " ".join(random.choice(words) for _ in range(60)) + f".\n\n“Café”  number {number}"
            if number % 9 == 8:
                text = texts[number // 2] + " "
            elif number % 10 == 9:
                text = f"{texts[number // 3]}, once more"
            elif number % 31 == 30:
                text = "short"
            texts.append(text)
            row = {"doc_id": f"{number:04d}", "label": f"label {number % 3}", "source": f"row {number}", "text": text}
            writer.write([row | {"given_split": None}])
    return folder


def make_all(extracted: Path, out: Path, executor: Executor) -> dict[str, str]:
    """Runs the stages up to tokenization; the digest of every file that they write, and their summaries."""
    names = ("cleaned", "splits", "vocabulary", "tokens")
    places = {name: out / name for name in names}
    for place in places.values():
        place.mkdir(parents=True)
    common = {"executor": executor}
    summaries = [
        clean.function(CleaningSettings(), places["cleaned"], documents=extracted, scratch=out / "a", **common),
        split.function(SplittingSettings(), places["splits"], cleaned=places["cleaned"]),
    ]
    inputs = {"cleaned": places["cleaned"], "splits": places["splits"]}
    summaries.append(
        learn_vocabulary.function(
            VocabularySettings(size=300), places["vocabulary"], **inputs, scratch=out / "b", **common
        )
    )
    inputs["vocabulary"] = places["vocabulary"]
    summaries.append(tokenize.function(TokenizationSettings(), places["tokens"], **inputs, scratch=out / "c", **common))
    files = [path for place in places.values() for path in sorted(place.rglob("*")) if path.is_file()]
    digests = {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return digests | {"summaries": repr(summaries)}
