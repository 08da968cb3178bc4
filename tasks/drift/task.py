"""The drift stage: compares today's cleaned texts with the champion's training texts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.cleaning.digest import read_digests
from tasks.drift.schema import FIGURES_FILE, PAGE
from tasks.drift.settings import DriftSettings
from tasks.extraction.document import read_documents
from tasks.shared.batched import batched
from tasks.shared.engine.stage import stage
from tasks.shared.files import write_text
from tasks.shared.parquet import read_table
from tasks.shared.progress import logger, progress
from tasks.splitting.documents import read_split_documents
from tasks.vocabulary.schema import DATASET, TOKENIZER

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tasks.drift.measure import Profile
    from tasks.vocabulary.tokenizer import Encoder

BATCH_ROWS = 256
TOP_TOKENS = 20
QUANTILES = {"5 %": 0.05, "median": 0.5, "95 %": 0.95}


@stage("drift", folder="10_drift", libraries=("numpy", "pyarrow", "tiktoken"))
def compare(
    settings: DriftSettings,
    out: Path,
    *,
    cleaned: Path,
    champion_cleaned: Path,
    champion_splits: Path,
    champion_vocabulary: Path,
) -> dict[str, JsonValue]:
    """Measures the drift of today's texts; tokens are those of the champion's vocabulary."""
    from tasks.drift.page import page
    from tasks.vocabulary.tokenizer import Encoder

    encoder = Encoder.from_file(champion_vocabulary / TOKENIZER)
    vocabulary = read_table(champion_vocabulary / DATASET, ["token", "count"])
    then = _training_profile(champion_cleaned, champion_splits, vocabulary["count"].to_numpy())
    known = {document.digest for document in read_digests(champion_cleaned)}
    now = _profile(cleaned, encoder, known if settings.compare == "new" else set())
    new = sum(document.digest not in known for document in read_digests(cleaned))
    drift = {"new_documents": new, **_compared(then, now, settings.rare_count, vocabulary["token"].to_pylist())}
    write_text(out / FIGURES_FILE, json.dumps(drift, indent=1, ensure_ascii=False) + "\n")
    write_text(out / PAGE, page(drift))
    logger("drift").info("drift: %s", ", ".join(f"{name} {value:.3f}" for name, value in drift["shifts"].items()))
    return {"rows": now.documents, "new_documents": new, **drift["shifts"]}


def _compared(then: Profile, now: Profile, rare_count: int, tokens: Sequence[str]) -> dict[str, Any]:
    from tasks.drift.measure import most_moved, rare_share, shares, shifts

    uses = [1000 * shares(profile.tokens) for profile in (then, now)]
    return {
        "shifts": asdict(shifts(then, now, rare_count)),
        "then": _described(then) | {"rare_share": rare_share(then, then, rare_count)},
        "now": _described(now) | {"rare_share": rare_share(then, now, rare_count)},
        "labels": sorted({*then.labels, *now.labels}),
        "tokens": [
            {"token": tokens[i], "then": float(uses[0][i]), "now": float(uses[1][i])}
            for i in most_moved(then.tokens, now.tokens, TOP_TOKENS)
        ],
    }


def _training_profile(cleaned: Path, splits: Path, tokens: Any) -> Profile:
    """Labels and lengths of the training split; the vocabulary has its token counts."""
    from tasks.drift.measure import Profile

    documents = read_split_documents(cleaned, splits)
    learned = ((document.label, len(document.text)) for document in documents if document.split == "train")
    return Profile(*_labels_and_lengths(learned), tokens)


def _labels_and_lengths(texts: Iterable[tuple[str, int]]) -> tuple[Counter[str], Any]:
    labels: Counter[str] = Counter()
    lengths = []
    for label, length in texts:
        labels[label] += 1
        lengths.append(length)
    return labels, np.array(lengths, np.int64)


def _profile(cleaned: Path, encoder: Encoder, skipped: set[str]) -> Profile:
    """Labels, lengths and tokens of today's texts, except those with a digest in `skipped`; one batch in memory."""
    from tasks.drift.measure import Profile

    tokens = np.zeros(encoder.size, np.int64)
    texts: list[tuple[str, int]] = []
    documents = (d for d in read_documents(cleaned, ("label", "text", "digest")) if d.digest not in skipped)
    for batch in progress(batched(documents, BATCH_ROWS), "drift", "batches of documents"):
        texts += ((document.label, len(document.text)) for document in batch)
        for ids in encoder.encode([document.text for document in batch]):
            tokens += np.bincount(ids, minlength=encoder.size)
    return Profile(*_labels_and_lengths(texts), tokens)


def _described(profile: Profile) -> dict[str, Any]:
    lengths = {name: int(np.quantile(profile.lengths, q)) if profile.documents else 0 for name, q in QUANTILES.items()}
    return {"documents": profile.documents, "labels": dict(sorted(profile.labels.items())), "lengths": lengths}
