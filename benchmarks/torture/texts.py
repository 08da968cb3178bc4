"""The small corpus of the trials, and settings under which a run takes seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

TINY: dict[str, Any] = {
    "runner": {"kind": "local"},
    "extraction": {"source": "folder", "folder": {"path": "texts"}},
    "vocabulary": {"size": 400},
    "linear": {"C": [1.0]},
    "training": {"epochs": 2, "hidden_size": 8, "embedding_size": 8, "window": 32, "windows": 50, "device": "cpu"},
    "evaluation": {"bootstrap_samples": 100, "baselines": ["majority", "naive_bayes"]},
    "promotion": {"bootstrap_samples": 100, "min_documents": 1},
    "checks": {"training": {"min_gain_over_majority": -1}},
}
"""Settings under which a run takes seconds."""


def write_corpus(folder: Path, labels: int = 3, documents: int = 12, seed: int = 0) -> None:
    """A corpus in the folder layout; each label has some words of its own."""
    rng = random.Random(seed)
    common = (
        "the",
        "of",
        "and",
        "to",
        "a",
        "in",
        "that",
        "is",
        "was",
        "he",
        "for",
        "it",
        "with",
        "as",
        "his",
        "on",
        "by",
    )
    for label in range(labels):
        own = [f"{stem}{label}" for stem in ("apple", "river", "stone", "cloud", "tiger")]
        (folder / f"label{label}").mkdir(parents=True, exist_ok=True)
        for number in range(documents):
            words = [rng.choice(own if rng.random() < 0.3 else common) for _ in range(80)]
            text = " ".join(words) + f".\n\nParagraph two of text {label}-{number} {rng.random()}.\n"
            (folder / f"label{label}" / f"{seed:02}{number:03}.txt").write_text(text)


def configure(folder: Path, **sections: Any) -> None:
    """Writes pipeline.yaml: the quick settings with changes."""
    values = json.loads(json.dumps(TINY))
    for name, given in sections.items():
        if isinstance(given, dict):
            values.setdefault(name, {}).update(given)
        else:
            values[name] = given
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(values, allow_unicode=True))


def write_pipeline(folder: Path) -> None:
    """The small corpus and the quick settings."""
    write_corpus(folder / "texts")
    configure(folder)
