"""Small labelled texts for the tests of the members; the words of each label differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.cleaning.schema import DOCUMENTS
from tasks.shared.parquet import PartWriter
from tasks.splitting.labelled import LabelledTexts, deal_folds
from tasks.splitting.schema import SPLITS_SCHEMA
from tasks.training.settings import TrainingSettings

LABELS = ("fable", "news", "recipe")


@dataclass(frozen=True)
class WithTexts(LabelledTexts):
    texts: list[str]


def small(**changes: Any) -> TrainingSettings:
    """Settings for a quick training on the CPU."""
    given = {
        "device": "cpu",
        "learning_rate": 0.01,
        "epochs": 2,
        "embedding_size": 8,
        "hidden_size": 6,
        "window": 12,
        "windows": 120,
        "batch_size": 8,
    }
    return TrainingSettings.model_validate(given | changes)


def text(label: int, length: int, rng: np.random.Generator) -> str:
    """Half of the words are typical of the label, half are random."""
    own = rng.integers(10 * label, 10 * label + 10, length)
    return " ".join(f"w{chr(97 + n)}" for n in np.where(rng.random(length) < 0.5, own, rng.integers(0, 40, length)))


def texts(per_label: int = 10, labels: int = 3, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of 5 to 40 words, and their class ids."""
    rng = np.random.default_rng(seed)
    ids = np.tile(np.arange(labels), per_label)
    return [text(label, int(rng.integers(5, 40)), rng) for label in ids.tolist()], ids


def labelled(per_label: int = 10, labels: int = 3, seed: int = 0) -> WithTexts:
    """The same as labelled texts, each a group of its own."""
    written, ids = texts(per_label, labels, seed)
    names = [f"{number:03d}" for number in range(len(written))]
    return WithTexts(names, ids, deal_folds(ids, names, 5), [f"label {n}" for n in range(labels)], written)


def write_inputs(folder: Path, per_label: int = 6) -> dict[str, Path]:
    """The artifacts that the training stage reads, with `per_label` texts of each label in each split."""
    inputs = {name: folder / name for name in ("cleaned", "splits", "tokens", "vocabulary")}
    rows = []
    for split, seed in (("train", 0), ("validation", 1), ("test", 2)):
        for number, (words, label) in enumerate(zip(*texts(per_label, seed=seed), strict=True)):
            doc_id = f"{split}-{number:03d}"
            names = {"doc_id": doc_id, "group": doc_id, "digest": doc_id}
            rows.append({**names, "label": LABELS[label], "split": split, "text": words})
    rows.sort(key=lambda row: row["doc_id"])
    with PartWriter(inputs["cleaned"] / "documents", DOCUMENTS) as writer:
        writer.write([{**row, "source": row["doc_id"]} for row in rows])
    with PartWriter(inputs["splits"] / "splits", SPLITS_SCHEMA) as writer:
        writer.write(rows)
    return inputs
