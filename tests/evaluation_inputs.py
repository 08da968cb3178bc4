"""Small artifacts to evaluate: three labels with different texts, and a model trained on them for two epochs."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

from tasks.cleaning.schema import DOCUMENTS
from tasks.shared.parquet import PartWriter
from tasks.splitting.schema import SPLITS_SCHEMA
from tasks.tokenization.schema import tokens_schema
from tasks.training.settings import TrainingSettings
from tasks.training.task import train

HOSTILE = "<script>alert('label')</script>"
LABELS = ("poems", "reports & 'notes' $x_", HOSTILE)
SPLITS_OF_LABEL = ("train",) * 6 + ("validation",) * 2 + ("test",) * 4
TRAINING = TrainingSettings(
    objective="labels",
    cell="none",
    device="cpu",
    embedding_size=8,
    window=16,
    stride=16,
    epochs=2,
    batch_size=16,
    dropout=0,
    learning_rate=0.01,
)


@dataclass(frozen=True)
class Inputs:
    """Artifact folders, by the names of the stage's inputs."""

    cleaned: Path
    splits: Path
    tokens: Path
    model: Path

    def folders(self) -> dict[str, Path]:
        return dict(vars(self))


def make_inputs(root: Path) -> Inputs:
    """Twelve documents of each label, four of them in the test split; every text contains HTML."""
    generator = random.Random(0)
    documents = []
    for number, label in enumerate(LABELS):
        for i, split in enumerate(SPLITS_OF_LABEL):
            words = [f"w{generator.randrange(20) + 15 * number}" for _ in range(40)]
            documents.append((f"<b>{number}-{i:02d}", label, split, words))
    inputs = Inputs(*(root / name for name in ("cleaned", "splits", "tokens", "model")))
    with PartWriter(inputs.cleaned / "documents", DOCUMENTS) as writer:
        writer.write(
            [
                {"doc_id": d, "label": label, "source": d, "group": d, "digest": d}
                | {"text": f"<script>{' '.join(words)}</script>"}
                for d, label, _, words in documents
            ]
        )
    with PartWriter(inputs.splits / "splits", SPLITS_SCHEMA) as writer:
        writer.write(
            [{"doc_id": d, "label": label, "group": d, "digest": d, "split": split} for d, label, split, _ in documents]
        )
    _write_tokens(root, inputs.tokens, documents)
    for folder in (inputs.model, root / "scratch"):
        folder.mkdir()
    train.function(
        TRAINING, inputs.model, tokens=inputs.tokens, vocabulary=root / "vocabulary", scratch=root / "scratch"
    )
    lineage = {"cleaning": {"fingerprint": "abc", "settings": {"quotes": {"<i>style": "<i>keep"}}}}
    (inputs.model / "artifact.json").write_text(json.dumps({"lineage": lineage}))
    return inputs


def _write_tokens(root: Path, tokens: Path, documents: list[tuple[str, str, str, list[str]]]) -> None:
    (root / "vocabulary").mkdir(parents=True)
    (root / "vocabulary" / "tokenizer.json").write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    with PartWriter(tokens / "tokens", tokens_schema(64, digest, LABELS)) as writer:
        writer.write(
            [
                {
                    "doc_id": d,
                    "label": label,
                    "split": split,
                    "token_ids": [2 + int(word[1:]) for word in words],
                    "length": len(words),
                }
                for d, label, split, words in documents
            ]
        )
