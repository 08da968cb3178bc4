"""The recipe of RNN tutorials compared with ours, on the same splits and tokens of Brown, in one run.

    python -m benchmarks.tutorial_recipe [--epochs 4] [--set training.KEY=VALUE …] [--json]

The tutorials' recipe: an embedding of 128, torch.nn.RNN of 128 units, the last state, a linear layer; every text padded
at its end to the longest training text (longer ones are truncated to it), the last state read at the padded end;
batches of 8, Adam at 1e-3. Ours: the training stage with the settings of pipeline.yaml. Both use the device of these
settings, and their seconds include validation; ours runs between the tutorial's epochs, so that load on the machine
slows both.

"reaching": seconds until the tutorial first has its best validation accuracy, and until ours is first as good: after an
epoch or, if the epochs learn no labels, at the end of the stage. A tutorial that never beats the most frequent label
(0.16) has its best at once; hence also "passing": seconds of all epochs of the tutorial, and seconds until ours is
better than its best. Each predicts the test split once: the tutorial with the weights of its best epoch, ours with the
model that the stage keeps.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from flows.ops.environment import PROJECT
from flows.pipeline.settings import Pipeline, load_settings, merge_overrides
from tasks.cleaning.task import clean
from tasks.extraction.task import extract
from tasks.splitting.schema import SPLITS
from tasks.splitting.task import split
from tasks.tokenization.store import open_tokens
from tasks.tokenization.task import tokenize
from tasks.training.classifier import load_classifier
from tasks.training.history import read_history
from tasks.training.runtime.device import choose_device
from tasks.training.settings import TrainingSettings
from tasks.training.task import train
from tasks.vocabulary.task import learn_vocabulary

SIZE, BATCH, RATE, PAD = 128, 8, 1e-3, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4, help="epochs of the tutorials' recipe, about 20 s each")
    parser.add_argument("--set", nargs="*", default=[], help="settings that override pipeline.yaml")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    settings = load_settings(PROJECT / "pipeline.yaml", merge_overrides(arguments.set))
    with tempfile.TemporaryDirectory() as folder:
        tokens, vocabulary = prepare(settings, Path(folder))
        rows = measure(settings.training, tokens, vocabulary, Path(folder), arguments.epochs)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{value}" for key, value in row.items()))


def prepare(settings: Pipeline, folder: Path) -> tuple[Path, Path]:
    """Builds the tokens and the vocabulary of the Brown Corpus as in a run."""
    documents, cleaned, splits, vocabulary, tokens = (folder / str(number) for number in range(5))
    (folder / "scratch").mkdir()
    extract.function(settings.extraction, documents)
    clean.function(settings.cleaning, cleaned, documents=documents, scratch=folder / "scratch")
    split.function(settings.splitting, splits, cleaned=cleaned)
    vocabulary.mkdir()
    learn_vocabulary.function(settings.vocabulary, vocabulary, cleaned=cleaned, splits=splits)
    tokenize.function(settings.tokenization, tokens, cleaned=cleaned, splits=splits, vocabulary=vocabulary)
    return tokens, vocabulary


def measure(
    settings: TrainingSettings, tokens: Path, vocabulary: Path, folder: Path, epochs: int
) -> list[dict[str, Any]]:
    """A row per epoch of each recipe, a row per kept model, and the ratios."""
    tutorial = Tutorial(tokens, choose_device(settings.device))
    theirs = [tutorial.epoch() for _ in range((epochs + 1) // 2)]
    ours = ours_by_epoch(settings, tokens, vocabulary, folder)
    theirs += [tutorial.epoch() for _ in range(epochs // 2)]
    best = max(epoch.accuracy for epoch in theirs)
    passed = math.nextafter(best, 1)
    spent = sum(epoch.seconds for epoch in theirs)
    return [
        *_rows("tutorial", theirs),
        {"recipe": "tutorial, best epoch", "validation accuracy": best, "test accuracy": tutorial.test()},
        *_rows("ours", ours[:-1]),
        {
            "recipe": "ours, the whole stage and the epoch it keeps",
            "seconds so far": sum(epoch.seconds for epoch in ours),
            "validation accuracy": ours[-1].accuracy,
            "test accuracy": test_accuracy(folder / "model", tokens, settings.device),
        },
        _sooner("reaching the tutorial's best", until(theirs, best), until(ours, best)),
        _sooner(f"passing the tutorial's {epochs} epochs", spent, until(ours, passed)),
    ]


def _sooner(what: str, tutorial: float | None, ours: float | None) -> dict[str, Any]:
    times = None if tutorial is None or ours is None else tutorial / ours
    return {"recipe": what, "seconds tutorial": tutorial, "seconds ours": ours, "times sooner": times}


@dataclass(frozen=True)
class Epoch:
    """Duration of an epoch, including validation, and the validation accuracy after it."""

    seconds: float
    accuracy: float
    """NaN if the epoch learned no labels."""


class Tutorial:
    """A plain RNN over whole texts, trained as in tutorials."""

    def __init__(self, tokens: Path, device: torch.device) -> None:
        torch.manual_seed(0)
        self.splits = {split: open_tokens(tokens, split) for split in SPLITS}
        self.texts = {split: list(documents) for split, documents in self.splits.items()}
        training = self.splits["train"]
        self.longest, self.device = int(np.diff(training.offsets).max()), device
        self.model = PlainRNN(training.vocabulary_size, len(training.label_names)).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)
        self.shuffle = np.random.default_rng(0)
        self.best, self.kept = -1.0, self.model.state_dict()

    def epoch(self) -> Epoch:
        """Trains on every text once, then validates."""
        started, training = time.perf_counter(), self.splits["train"]
        self.model.train()
        for batch in _batches(self.shuffle.permutation(len(training))):
            labels = torch.from_numpy(training.labels[batch]).to(self.device)
            loss = functional.cross_entropy(self.model(self._padded("train", batch)), labels)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        accuracy = self._accuracy("validation")
        if accuracy > self.best:
            self.best = accuracy
            self.kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        return Epoch(time.perf_counter() - started, accuracy)

    def test(self) -> float:
        """Test accuracy of the weights of the best epoch."""
        self.model.load_state_dict(self.kept)
        return self._accuracy("test")

    @torch.no_grad()
    def _accuracy(self, split: str) -> float:
        documents = self.splits[split]
        self.model.eval()
        batches = _batches(np.arange(len(documents)))
        predicted = [self.model(self._padded(split, batch)).argmax(-1).cpu() for batch in batches]
        return float((torch.cat(predicted).numpy() == documents.labels).mean())

    def _padded(self, split: str, batch: NDArray[np.int64]) -> Tensor:
        """Tokens [texts, longest]."""
        ids = np.full((len(batch), self.longest), PAD, np.int64)
        for row, document in zip(ids, batch, strict=True):
            text = self.texts[split][document][: self.longest]
            row[: len(text)] = text
        return torch.from_numpy(ids).to(self.device)


def _batches(order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


class PlainRNN(nn.Module):
    """Embedding, RNN, the state at the padded end, a linear layer."""

    def __init__(self, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, SIZE, padding_idx=PAD)
        self.rnn = nn.RNN(SIZE, SIZE, batch_first=True)
        self.classifier = nn.Linear(SIZE, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [texts, labels] of padded texts [texts, time]."""
        logits: Tensor = self.classifier(self.rnn(self.embedding(ids))[0][:, -1])
        return logits


def ours_by_epoch(settings: TrainingSettings, tokens: Path, vocabulary: Path, folder: Path) -> list[Epoch]:
    """Runs the training stage; its epochs, and the remaining work as one more, with the accuracy of the kept model."""
    model, scratch = folder / "model", folder / "checkpoints"
    model.mkdir()
    scratch.mkdir()
    started = time.perf_counter()
    train.function(settings, model, tokens=tokens, vocabulary=vocabulary, scratch=scratch)
    whole, history = time.perf_counter() - started, read_history(model)
    accuracies = history["validation_accuracy"]
    kept = float(accuracies[history["kept"] == 1][0])  # before the head learned from the validation split, if it did
    if np.isfinite(accuracies).sum() == 1:  # only the kept epoch has an accuracy, measured after all epochs
        accuracies = np.full_like(accuracies, np.nan)
    epochs = [
        Epoch(float(spent), float(accuracy)) for spent, accuracy in zip(history["seconds"], accuracies, strict=True)
    ]
    rest = max(0.0, whole - float(history["seconds"].sum()))
    return [*epochs, Epoch(rest, kept)]


def test_accuracy(model: Path, tokens: Path, device: str) -> float:
    """Test accuracy of the model in the folder."""
    test = open_tokens(tokens, "test")
    predicted = load_classifier(model, device).log_probabilities(list(test)).argmax(-1)
    return float((predicted == test.labels).mean())


def until(epochs: list[Epoch], accuracy: float) -> float | None:
    """Seconds until the first epoch with at least this accuracy; None if there is none."""
    so_far = accumulate(epoch.seconds for epoch in epochs)
    return next((spent for spent, epoch in zip(so_far, epochs, strict=True) if epoch.accuracy >= accuracy), None)


def _rows(recipe: str, epochs: list[Epoch]) -> Iterator[dict[str, Any]]:
    so_far = accumulate(epoch.seconds for epoch in epochs)
    for number, (epoch, spent) in enumerate(zip(epochs, so_far, strict=True), start=1):
        yield {
            "recipe": recipe,
            "epoch": number,
            "seconds": epoch.seconds,
            "seconds so far": spent,
            "validation accuracy": None if np.isnan(epoch.accuracy) else epoch.accuracy,
        }


if __name__ == "__main__":
    main()
