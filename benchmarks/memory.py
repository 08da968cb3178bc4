"""Peak memory of training on a generated corpus, and on one ten times as large.

    python -m benchmarks.memory [--texts 4000] [--json]

Trains a tiny model on each corpus for one epoch, with each objective, in a process of its own. The memory of training
is the peak above the process's memory once torch is imported: the shuffle buffer, a batch, and each document's
metadata; with objective language also the input of the head. The validation split grows with the training split.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tasks.extraction.document import Document
from tasks.shared.parquet import PartWriter
from tasks.tokenization.schema import DATASET, ROW_GROUP_BYTES, tokens_schema
from tasks.tokenization.store import token_rows

LABELS, VOCABULARY, LENGTH = ("even", "odd"), 2000, 2000
OBJECTIVES = ("language", "labels")
TIMES = 10
TRAINING_TEXTS = 16
"""Per validation text."""
SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "embedding_size": 8,
    "hidden_size": 8,
    "bidirectional": False,
    "batch_size": 128,
    "shuffle_tokens": 2**20,
    "prediction_ratio": 0.05,
    "epochs": 1,
}
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=4000, help=f"of the small corpus, {LENGTH:,} tokens each")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--objective", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        print(json.dumps(train(arguments.train, arguments.objective)))
        return
    rows = [row for objective in OBJECTIVES for row in compare(objective, arguments.texts)]
    if arguments.json:
        print(json.dumps(rows))
        return
    print("".join(f"{column.replace('_', ' '):>22}" for column in rows[0]))
    for row in rows:
        print("".join(f"{f'{value:,.2f}' if isinstance(value, float) else value:>22}" for value in row.values()))


def compare(objective: str, texts: int) -> list[dict[str, Any]]:
    """The rows of a corpus of that size and of one ten times as large."""
    rows = [measure(objective, count) for count in (texts, TIMES * texts)]
    return [{**row, "peak_ratio": row["mib_at_the_peak"] / rows[0]["mib_at_the_peak"]} for row in rows]


def measure(objective: str, texts: int) -> dict[str, Any]:
    """One row: the corpus's size, and the peak memory of the process that trains on it, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        tokens = write_tokens(Path(folder), texts)
        command = [sys.executable, "-m", "benchmarks.memory", "--train", folder, "--objective", objective]
        memory = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return {"objective": objective, "texts": texts, "tokens": tokens, "mib_of_tokens": 2 * tokens / MIB, **memory}


def write_tokens(folder: Path, texts: int) -> int:
    """Writes a tokens artifact, with additional texts as the validation split; returns its number of tokens."""
    total = texts + -(-texts // TRAINING_TEXTS)
    rng, tokens = np.random.default_rng(0), 0
    schema = tokens_schema(VOCABULARY, hashlib.sha256(b"").hexdigest(), LABELS)
    with PartWriter(folder / DATASET, schema, row_group_bytes=ROW_GROUP_BYTES) as writer:
        for first in range(0, total, 256):
            numbers = range(first, min(first + 256, total))
            documents = [
                Document(f"{number:09}", LABELS[number % 2], split="train" if number < texts else "validation")
                for number in numbers
            ]
            ids = [rng.integers(2, VOCABULARY, rng.integers(1, 2 * LENGTH)).astype(np.uint16) for _ in numbers]
            tokens += sum(map(len, ids))
            writer.write(token_rows(schema, documents, ids))
    return tokens


def train(folder: Path, objective: str) -> dict[str, float]:
    """Trains as the stage does; returns this process's peak memory before and after, in MiB."""
    import torch

    from tasks.tokenization.store import open_tokens
    from tasks.training.config import identity
    from tasks.training.loop import loop
    from tasks.training.loop.checkpoint import Checkpoints
    from tasks.training.objectives.objective import objective_of
    from tasks.training.preflight import run_preflight
    from tasks.training.settings import TrainingSettings

    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # its first use imports as much again as torch
    before = peak()
    settings = TrainingSettings.model_validate({**SETTINGS, "objective": objective})
    training, validation = open_tokens(folder, "train"), open_tokens(folder, "validation")
    device = run_preflight(settings, training, validation)
    checkpoints = Checkpoints(folder / "checkpoints", identity(settings, training, validation))
    fitted = objective_of(settings, training, validation, device)
    trained = loop.train(settings, fitted, training, device, checkpoints)
    fitted.model.load_state_dict(trained.weights)
    fitted.finalize(folder)
    return {"mib_with_torch": before, "mib_at_the_peak": peak(), "mib_of_training": peak() - before}


def peak() -> float:
    """Peak memory of this process so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


if __name__ == "__main__":
    main()
