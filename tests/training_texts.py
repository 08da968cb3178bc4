"""Small tokenized texts for the training tests; labels differ in their common token ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.shared.parquet import PartWriter
from tasks.tokenization.schema import DATASET, tokens_schema
from tasks.tokenization.store import TokenizedDocuments
from tasks.training.loop.loop import Trained, train
from tasks.training.objectives.objective import objective_of
from tasks.training.settings import TrainingSettings

LABELS = ("fable", "news", "recipe")
VOCABULARY = 40
TOKENIZER = b'{"model": "of these tests"}'
DIGEST = hashlib.sha256(TOKENIZER).hexdigest()


def small(**changes: Any) -> TrainingSettings:
    """Settings for a quick training on the CPU."""
    given = {
        "device": "cpu",
        "objective": "labels",
        "learning_rate": 0.01,
        "embedding_dropout": 0.3,
        "token_dropout": 0.3,
        "dropout": 0.5,
        "class_weight_power": 0.5,
        "epochs": 4,
        "patience": 100,
        "embedding_size": 8,
        "hidden_size": 6,
        "window": 12,
        "stride": 6,
        "batch_size": 8,
    }
    return TrainingSettings.model_validate(given | changes)


def text(label: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Half of the ids are typical of the label, half are random."""
    own = rng.integers(2 + 10 * label, 12 + 10 * label, length)
    return np.where(rng.random(length) < 0.5, own, rng.integers(2, VOCABULARY, length)).astype(np.uint16)


def part_of(texts: Sequence[np.ndarray], labels: np.ndarray, name: object, run: int = 1000) -> TokenizedDocuments:
    """These texts as a split, `run` texts in each run."""
    bounds = np.append(np.arange(0, len(texts), run), len(texts))
    return TokenizedDocuments(
        doc_ids=[f"{name}-{number:03d}" for number in range(len(texts))],
        labels=labels,
        offsets=np.cumsum([0, *map(len, texts)]),
        label_names=LABELS,
        vocabulary_size=VOCABULARY,
        vocabulary_digest=DIGEST,
        bounds=bounds,
        read=lambda number: np.concatenate(texts[bounds[number] : bounds[number + 1]]),
    )


def documents(per_label: int = 6, seed: int = 0, run: int = 1000) -> TokenizedDocuments:
    """Texts of 1 to 60 tokens, some of them shorter than a window."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(len(LABELS)), per_label)
    return part_of([text(label, int(rng.integers(1, 60)), rng) for label in labels], labels, seed, run)


def learn(
    settings: TrainingSettings, training: TokenizedDocuments, validation: TokenizedDocuments, **others: Any
) -> Trained:
    """Trains on the CPU."""
    cpu = torch.device("cpu")
    return train(settings, objective_of(settings, training, validation, cpu), training, cpu, **others)


def write_inputs(folder: Path, per_label: int = 6) -> dict[str, Path]:
    """The artifacts that the stage reads."""
    inputs = {"tokens": folder / "tokens", "vocabulary": folder / "vocabulary"}
    inputs["vocabulary"].mkdir(parents=True)
    (inputs["vocabulary"] / "tokenizer.json").write_bytes(TOKENIZER)
    rows = []
    for split, seed in (("train", 0), ("validation", 1), ("test", 2)):
        part = documents(per_label, seed)
        for doc_id, label_id, ids in zip(part.doc_ids, part.labels, part, strict=True):
            label = LABELS[label_id]
            row = {"doc_id": doc_id, "label": label, "split": split, "token_ids": ids.tolist(), "length": len(ids)}
            rows.append(row)
    with PartWriter(inputs["tokens"] / DATASET, tokens_schema(VOCABULARY, DIGEST, LABELS)) as writer:
        writer.write(rows)
    return inputs
