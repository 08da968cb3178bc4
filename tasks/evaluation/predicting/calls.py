"""What takes time in an evaluation, as calls for workers: every member on the test texts, and every baseline.

The words of all texts are counted once, for all baselines that read them. A call reads texts from the artifact of the
cleaned documents, holds their counts or some thousand texts at a time, and leaves what is large in `scratch`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import load_npz, save_npz

from tasks.evaluation.predicting.baselines import BASELINES, Counts, count_characters, count_words, no_counts
from tasks.shared.arrays import save_array
from tasks.shared.batched import batched
from tasks.shared.runner.calls import IN_PROCESS, Call, run_calls
from tasks.shared.statistics.log_probabilities import Scores
from tasks.shared.statistics.metrics import Ints
from tasks.splitting.documents import find_texts
from tasks.stacking.stacked import load_member
from tasks.training.schema import MEMBER as RNN

BLOCK = 8192
"""Test texts that a member reads at a time."""


@dataclass(frozen=True)
class Texts:
    """The texts of an evaluation, in order of doc_id: those that the members learned from, and the test texts."""

    known: Sequence[str]
    """doc_ids"""
    known_labels: Ints
    """Class ids, [known texts]."""
    test: Sequence[str]


def predict(
    members: Mapping[str, Path],
    baselines: Sequence[str],
    texts: Texts,
    cleaned: Path,
    device: str,
    scratch: Path,
    executor: Executor = IN_PROCESS,
) -> tuple[dict[str, Scores], dict[str, Ints]]:
    """Log-probabilities [test texts, labels] of each member, and predicted class ids [test texts] of each baseline.

    `members` are the folders of the members. Raises ArtifactError if a text is missing or a member is damaged.
    """
    _write_texts(scratch, texts)
    scoring = [Call(name, score_member, (name, folder, device, cleaned, scratch)) for name, folder in members.items()]
    here = [call for call in scoring if call.title == RNN and _on_accelerator(device)]
    of_words = [name for name in baselines if BASELINES[name].reads == "words"]
    calls = deque(_baseline(name, cleaned, scratch) for name in baselines if name not in of_words)
    if of_words:
        calls.appendleft(Call("counting words", write_words, (cleaned, scratch)))
    calls.extend(call for call in scoring if call not in here)
    total = len(scoring) + len(baselines) + bool(of_words)
    predicted: dict[str, Ints] = {}
    for some, place in ((deque(here), IN_PROCESS), (calls, executor)):
        for call, result in run_calls(place, some, scratch / "messages", total):
            if call.function is write_words:
                some.extendleft(_baseline(name, cleaned, scratch) for name in reversed(of_words))
            elif call.function is predict_baseline:
                predicted[call.title] = result
    scores = {name: np.load(_scores(scratch, name), allow_pickle=False) for name in members}
    return scores, {name: predicted[name] for name in baselines}


def score_member(name: str, folder: Path, device: str, cleaned: Path, scratch: Path) -> None:
    """Writes the log-probabilities of a member."""
    member = load_member(folder, device)
    blocks = batched((text for _, text in find_texts(cleaned, _read_texts(scratch).test)), BLOCK)
    scores = np.concatenate([member.log_probabilities(block) for block in blocks])
    save_array(_scores(scratch, name), scores)


def write_words(cleaned: Path, scratch: Path) -> None:
    """Counts the words of all texts."""
    counts = count_words(*_both(cleaned, scratch))
    for part, some in (("known", [counts.known]), ("test", counts.test)):
        for number, block in enumerate(some):
            save_npz(scratch / f"words-{part}-{number:05d}.npz", block, compressed=False)


def predict_baseline(name: str, cleaned: Path, scratch: Path) -> Ints:
    """Class ids [test texts]."""
    texts, baseline = _read_texts(scratch), BASELINES[name]
    if baseline.reads == "words":
        (known,), test = (sorted(scratch.glob(f"words-{part}-*.npz")) for part in ("known", "test"))
        counts = Counts(load_npz(known), map(load_npz, test))
    elif baseline.reads == "characters":
        counts = count_characters(*_both(cleaned, scratch))
    else:
        counts = no_counts(len(texts.known), len(texts.test))
    return baseline.predict(counts, texts.known_labels)


def _both(cleaned: Path, scratch: Path) -> tuple[Iterator[str], Iterator[str]]:
    """The texts that the members learned from, and the test texts."""
    texts = _read_texts(scratch)
    known, test = ((text for _, text in find_texts(cleaned, some)) for some in (texts.known, texts.test))
    return known, test


def _baseline(name: str, cleaned: Path, scratch: Path) -> Call:
    return Call(name, predict_baseline, (name, cleaned, scratch))


def _on_accelerator(device: str) -> bool:
    """Whether the RNN runs on a GPU, which this process alone uses."""
    from tasks.training.runtime.device import choose_device  # torch

    return choose_device(device).type != "cpu"


def _write_texts(scratch: Path, texts: Texts) -> None:
    pq.write_table(pa.table({"doc_id": texts.known, "label": texts.known_labels}), scratch / "known.parquet")
    pq.write_table(pa.table({"doc_id": texts.test}), scratch / "test.parquet")


def _read_texts(scratch: Path) -> Texts:
    known, test = (pq.read_table(scratch / f"{name}.parquet") for name in ("known", "test"))
    return Texts(known["doc_id"].to_pylist(), known["label"].to_numpy(), test["doc_id"].to_pylist())


def _scores(scratch: Path, name: str) -> Path:
    return scratch / f"scores-{name}.npy"
