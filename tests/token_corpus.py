"""Cleaned and split artifacts, and real texts, for the tests of vocabulary and tokens."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.cleaning.schema import DOCUMENTS as CLEANED
from tasks.extraction.document import Document
from tasks.shared.parquet import PartWriter
from tasks.splitting.schema import SPLITS_SCHEMA


def document(doc_id: str, label: str, split: str, text: str) -> Document:
    """A cleaned document; without a split if `split` is empty."""
    return Document(doc_id, label, "a test", text, doc_id, split)


DOCUMENTS = [
    document("a1", "news", "train", "The jury said it did find the evidence.\n\nThe jury's report — it's late."),
    document("a2", "fiction", "test", "“Naïve café,” she said; 東京 and 1961 🙂.\n\nShe left."),
    document("b1", "news", "validation", "The evidence did say: nothing. [PAD] and [UNK] are words here."),
    document("b2", "fiction", "", "Left out of the split, zyzzyva zyzzyva."),
    document("c1", "fiction", "train", "She said that she did find it, and said it again: she did, she did."),
]


class Artifacts(NamedTuple):
    cleaned: Path
    splits: Path


def write_artifacts(folder: Path, documents: Sequence[Document] = DOCUMENTS, part_bytes: int = 2**20) -> Artifacts:
    with PartWriter(folder / "cleaned" / "documents", CLEANED, part_bytes) as writer:
        for each in documents:
            writer.write([each._asdict()])
    with PartWriter(folder / "splits" / "splits", SPLITS_SCHEMA, part_bytes) as writer:
        for each in documents:
            if each.split:
                writer.write([each._asdict()])
    return Artifacts(folder / "cleaned", folder / "splits")


def brown_texts(count: int) -> list[str]:
    """Texts of the real Brown Corpus, words without their tags; one line per sentence."""
    shared = Path(__file__).resolve().parents[2] / "shared" / "nltk_data"
    with zipfile.ZipFile(Path(os.environ.get("NLTK_DATA", shared)) / "corpora" / "brown.zip") as archive:
        names = sorted(name for name in archive.namelist() if len(Path(name).name) == 4 and Path(name).name[0] == "c")
        raw = [archive.read(name).decode() for name in names[:: max(1, len(names) // count)][:count]]
    lines = ([word.rpartition("/")[0] for word in line.split()] for text in raw for line in text.splitlines())
    joined = "\n".join(" ".join(line) for line in lines)
    return joined.split("\n\n\n")
