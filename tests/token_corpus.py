"""Cleaned and split artifacts, and real texts, for the tests of vocabulary and tokens."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tasks.shared.parquet import PartWriter

CLEANED = pa.schema([(name, pa.string()) for name in ("doc_id", "label", "source", "text", "group")])
SPLITS = pa.schema([(name, pa.string()) for name in ("doc_id", "label", "group", "split")])


class Document(NamedTuple):
    doc_id: str
    label: str
    split: str | None
    """None: cleaned, but in no part of the split."""
    text: str


DOCUMENTS = [
    Document("a1", "news", "train", "The jury said it did find the evidence.\n\nThe jury's report — it's late."),
    Document("a2", "fiction", "test", "“Naïve café,” she said; 東京 and 1961 🙂.\n\nShe left."),
    Document("b1", "news", "validation", "The evidence did say: nothing. [PAD] and [UNK] are words here."),
    Document("b2", "fiction", None, "Left out of the split, zyzzyva zyzzyva."),
    Document("c1", "fiction", "train", "She said that she did find it, and said it again: she did, she did."),
]


class Artifacts(NamedTuple):
    cleaned: Path
    splits: Path


def write_artifacts(folder: Path, documents: Sequence[Document] = DOCUMENTS, part_bytes: int = 2**20) -> Artifacts:
    with PartWriter(folder / "cleaned" / "documents", CLEANED, part_bytes) as writer:
        for document in documents:
            writer.write([{**document._asdict(), "source": "a test", "group": document.doc_id}])
    with PartWriter(folder / "splits" / "splits", SPLITS, part_bytes) as writer:
        for document in documents:
            if document.split is not None:
                writer.write([{**document._asdict(), "group": document.doc_id}])
    return Artifacts(folder / "cleaned", folder / "splits")


def brown_texts(count: int) -> list[str]:
    """Texts of the real Brown Corpus, words without their tags; one line per sentence."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "nltk_data"
    with zipfile.ZipFile(Path(os.environ.get("NLTK_DATA", beside)) / "corpora" / "brown.zip") as archive:
        names = sorted(name for name in archive.namelist() if len(Path(name).name) == 4 and Path(name).name[0] == "c")
        raw = [archive.read(name).decode() for name in names[:: max(1, len(names) // count)][:count]]
    lines = ([word.rpartition("/")[0] for word in line.split()] for text in raw for line in text.splitlines())
    joined = "\n".join(" ".join(line) for line in lines)
    return joined.split("\n\n\n")
