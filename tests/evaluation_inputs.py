"""Small artifacts to evaluate: three labels with different texts, and a model trained on them for two epochs."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from tasks.cleaning.schema import DOCUMENTS
from tasks.linear.settings import LinearSettings
from tasks.linear.task import fit_linear
from tasks.shared.parquet import PartWriter
from tasks.splitting.schema import SPLITS_SCHEMA
from tasks.stacking.settings import StackingSettings
from tasks.stacking.task import stack
from tasks.training.settings import TrainingSettings
from tasks.training.task import train

HOSTILE = "<script>alert('label')</script>"
LABELS = ("poems", "reports & 'notes' $x_", HOSTILE)
SPLITS_OF_LABEL = ("train",) * 6 + ("validation",) * 2 + ("test",) * 4
TRAINING = TrainingSettings(
    device="cpu",
    cell="tanh",
    embedding_size=8,
    hidden_size=4,
    window=16,
    windows=100,
    epochs=2,
    batch_size=16,
    learning_rate=0.01,
)


@dataclass(frozen=True)
class Inputs:
    """Artifact folders, by the names of the stage's inputs."""

    cleaned: Path
    splits: Path
    linear: Path
    training: Path
    model: Path

    def folders(self) -> dict[str, Path]:
        return dict(vars(self))

    def for_the_stage(self, scratch: Path) -> dict[str, Path]:
        """With an empty folder for the stage's own files."""
        scratch.mkdir()
        return self.folders() | {"scratch": scratch}


def make_inputs(root: Path) -> Inputs:
    """Twelve documents of each label, four of them in the test split; every text contains HTML."""
    generator = random.Random(0)
    documents = []
    for number, label in enumerate(LABELS):
        for i, split in enumerate(SPLITS_OF_LABEL):
            words = [f"w{generator.randrange(20) + 15 * number}" for _ in range(40)]
            documents.append((f"<b>{number}-{i:02d}", label, split, words))
    inputs = Inputs(*(root / name for name in ("cleaned", "splits", "linear", "training", "model")))
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
    for folder in (inputs.linear, inputs.training, inputs.model):
        folder.mkdir()
    unread = {"tokens": root / "tokens", "vocabulary": root / "vocabulary"}
    texts = {"cleaned": inputs.cleaned, "splits": inputs.splits}
    fit_linear.function(LinearSettings(), inputs.linear, **texts, scratch=root / "linear-scratch")
    train.function(TRAINING, inputs.training, **texts, **unread, scratch=root / "scratch")
    settings = StackingSettings(min_standard_errors=0)
    stack.function(settings, inputs.model, linear=inputs.linear, training=inputs.training)
    lineage = {
        "cleaning": {"fingerprint": "abc", "settings": {"quotes": {"<i>style": "<i>keep"}}},
        "training": {"fingerprint": "def", "settings": {"max_grad_norm": 1.0}},
    }
    for folder in (inputs.training, inputs.model):
        (folder / "artifact.json").write_text(json.dumps({"lineage": lineage}))
    return inputs
