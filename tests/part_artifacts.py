"""Extracted documents in several parts, and what the stages from cleaning to tokenization make of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.task import clean
from tasks.extraction.schema import DATASET, DOCUMENTS
from tasks.shared.parquet import SortedWriter
from tasks.shared.parts.kept import KeptParts
from tasks.splitting.settings import SplittingSettings
from tasks.splitting.task import split
from tasks.tokenization.settings import TokenizationSettings
from tasks.tokenization.task import tokenize
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.task import learn_vocabulary

ROW_GROUP_BYTES = 4096
Rows = dict[str, str]
"""Texts by doc_id."""


def cut_finely(monkeypatch: pytest.MonkeyPatch, size: int = ROW_GROUP_BYTES) -> None:
    """Every row group is a part, and no dataset is too small for workers."""
    monkeypatch.setattr("tasks.shared.parts.part.SMALLEST", size)
    monkeypatch.setattr("tasks.shared.parts.make.SMALL_BYTES", 0)


def write_extracted(folder: Path, documents: int = 120, change: Callable[[Rows], Rows] = lambda rows: rows) -> Path:
    """Documents of three labels: every ninth repeats an earlier one, every tenth nearly, and some are too short."""
    random, texts, rows = Random(0), list[str](), Rows()
    words = [f"{stem}{ending}" for stem in "river stone cloud apple winter".split() for ending in "abcdefghij"]
    for number in range(documents):
        text = " ".join(random.choice(words) for _ in range(60)) + f".\n\n“Café”  number {number}"
        if number % 9 == 8:
            text = texts[number // 2] + " "
        elif number % 10 == 9:
            text = f"{texts[number // 3]}, once more"
        elif number % 31 == 30:
            text = "short"
        texts.append(text)
        rows[f"{number:04d}"] = text
    with SortedWriter(
        folder / DATASET, DOCUMENTS, part_bytes=4 * ROW_GROUP_BYTES, row_group_bytes=ROW_GROUP_BYTES
    ) as writer:
        for doc_id, text in sorted(change(rows).items()):
            row = {"doc_id": doc_id, "label": f"label {int(doc_id[:4]) % 3}", "source": f"row {doc_id}", "text": text}
            writer.write([row | {"given_split": None}])
    return folder


def make_all(
    extracted: Path, out: Path, executor: Executor, kept: Path | None = None, previous: Path | None = None
) -> dict[str, str]:
    """Runs the stages up to tokenization; the digest of every file that they write, and their summaries.

    `kept` is where finished parts are kept, `previous` where an earlier call has written. With `kept`, the result has
    the number of parts that each stage made, too, by its name.
    """
    names = ("cleaned", "splits", "vocabulary", "tokens")
    places = {name: out / name for name in names}
    for place in places.values():
        place.mkdir(parents=True)
    keeping = {name: KeptParts(kept / name) if kept else None for name in names}
    before = previous / "splits" if previous else None

    def common(name: str) -> dict[str, Any]:
        return {"scratch": out / "scratch", "executor": executor, "kept": keeping[name]}

    cleaning = clean.function(CleaningSettings(), places["cleaned"], documents=extracted, **common("cleaned"))
    splitting = split.function(SplittingSettings(), places["splits"], cleaned=places["cleaned"], previous=before)
    inputs = {"cleaned": places["cleaned"], "splits": places["splits"]}
    learning = learn_vocabulary.function(
        VocabularySettings(size=300), places["vocabulary"], **inputs, **common("vocabulary")
    )
    inputs["vocabulary"] = places["vocabulary"]
    encoding = tokenize.function(TokenizationSettings(), places["tokens"], **inputs, **common("tokens"))
    files = [path for place in places.values() for path in sorted(place.rglob("*")) if path.is_file()]
    digests = {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    counts = {name: kept.summary()["parts_made"] for name, kept in keeping.items() if kept and name != "splits"}
    return digests | {"summaries": repr([cleaning, splitting, learning, encoding])} | counts
