"""What the networks of all folds learn from, as files: so that it need not be sent to every worker."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tasks.shared.arrays import save_array
from tasks.shared.statistics.metrics import Ints
from tasks.training.input.counting import Floats32
from tasks.training.input.evidence import Evidence, Pairs, count_evidence
from tasks.training.input.vocabulary import Ids
from tasks.training.input.windows import cut
from tasks.training.loop.recipe import TrainingTexts

SIZES = "sizes.json"


@dataclass(frozen=True)
class Sizes:
    """Numbers that belong to the arrays."""

    labels: int
    tokens: int
    """Size of the vocabulary."""
    window: int
    per_text: int
    pseudo_count: float | None
    """None without evidence."""


def write_inputs(
    folder: Path,
    sizes: Sizes,
    ids: Sequence[Ids],
    labels: Ints,
    folds: Ints,
    pairs: Pairs | None,
    axes: Floats32 | None,
) -> str:
    """Writes the token ids, labels and folds of the texts, the known pairs, and the axes of projected evidence.

    Returns a string that differs from that of an earlier call.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arrays = {"tokens": np.concatenate(ids), "ends": np.cumsum([len(some) for some in ids])}
    arrays |= {"labels": labels, "folds": folds}
    arrays |= {} if pairs is None else {"pairs": pairs.keys}
    arrays |= {} if axes is None else {"axes": axes}
    for name, array in arrays.items():
        save_array(folder / f"{name}.npy", array)
    (folder / SIZES).write_text(json.dumps(asdict(sizes)), encoding="utf-8")
    return secrets.token_hex(8)


@lru_cache(maxsize=1)
def read_inputs(folder: Path, version: str) -> tuple[TrainingTexts, Evidence | None]:
    """What `write_inputs` has written; a worker that trains several networks reads it once for each `version`."""
    sizes = Sizes(**json.loads((folder / SIZES).read_text(encoding="utf-8")))
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
    ids = np.split(arrays["tokens"], arrays["ends"][:-1])
    labels, folds = np.array(arrays["labels"]), np.array(arrays["folds"])
    pairs = evidence = None
    if sizes.pseudo_count is not None:
        pairs = Pairs(np.array(arrays["pairs"]), sizes.tokens)
        counts = count_evidence(ids, pairs, labels, sizes.labels, folds)
        axes = np.array(arrays["axes"]) if "axes" in arrays else None
        evidence = Evidence(*counts, axes, sizes.pseudo_count)
    windows = cut(ids, pairs, sizes.window, sizes.per_text)
    return TrainingTexts(windows, labels, sizes.labels, folds, sizes.tokens), evidence
