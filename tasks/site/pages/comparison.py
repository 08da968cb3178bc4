"""Two models side by side: settings, scores, a paired test on the texts that both were tested on, changed answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.evaluation.schema import METRICS, PREDICTIONS
from tasks.extraction.schema import DATASET as DOCUMENTS
from tasks.shared.parquet import part_files, read_table
from tasks.shared.statistics.bootstrap import bootstrap, interval, mcnemar
from tasks.shared.statistics.metrics import Floats, Ints
from tasks.shared.store.artifacts import Artifact
from tasks.site.reading.changes import flat
from tasks.site.reading.shelf import Shelf, attempt
from tasks.site.reading.tables import rows_with
from tasks.splitting.schema import DATASET as SPLITS

SAMPLES, CONFIDENCE, SEED = 1000, 0.95, 0
TEXTS_SHOWN, CHARACTERS = 200, 2000


@dataclass(frozen=True)
class Answer:
    """A text that both models were tested on."""

    doc_id: str
    label: str
    before: str
    after: str

    @property
    def change(self) -> str:
        """Whether the answer became right or wrong."""
        if self.before == self.after:
            return "same"
        return "gained" if self.after == self.label else "lost" if self.before == self.label else "still wrong"


@dataclass(frozen=True)
class Paired:
    """Both models on the same texts."""

    documents: int
    before: float
    after: float
    low: float
    high: float
    only_before: int
    only_after: int
    p: float


@dataclass(frozen=True)
class LabelChange:
    """A label's F1 in both reports; None where the report has no such label."""

    label: str
    before: float | None
    after: float | None

    @property
    def size(self) -> float:
        """By how much it changed."""
        return abs((self.after or 0.0) - (self.before or 0.0))


def comparison_content(shelf: Shelf, before: str, after: str, links: Mapping[str, str]) -> dict[str, Any]:
    """What the template `comparison.html` shows; the models are named by the fingerprints of their reports."""
    sides = [shelf.of_stage("evaluation", name) for name in (before, after)]
    manifests = [side.manifest for side in sides]
    champion = shelf.champion.current.model if shelf.champion else ""
    metrics = [attempt(_metrics, side.path).value for side in sides]
    labels = [set(each["labels"]) if each else set() for each in metrics]
    answers = attempt(_answers, shelf, sides[0].path, sides[1].path, manifests)
    changed = [each for each in answers.value or () if each.change != "same"]
    return {
        "sides": sides,
        "manifests": manifests,
        "models": [_model(manifest)[:10] for manifest in manifests],
        "in_use": [bool(name := _model(m)) and name == champion for m in manifests],
        "reports": [links.get(f"report/{name}", "") for name in (before, after)],
        "metrics": metrics,
        "gained": sorted(labels[1] - labels[0]),
        "lost": sorted(labels[0] - labels[1]),
        "settings": list(_settings(manifests)),
        "paired": attempt(_paired, answers.value).value if answers.value else None,
        "problem": answers.problem,
        "changed": changed[:TEXTS_SHOWN],
        "changed_count": len(changed),
        "texts": attempt(_texts, shelf, manifests[1], [each.doc_id for each in changed[:TEXTS_SHOWN]]).value or {},
        "labels": _label_changes(metrics),
    }


def _model(manifest: Artifact | None) -> str:
    return str(manifest.lineage.get("stacking", {}).get("fingerprint", "")) if manifest else ""


def _metrics(report: Path) -> dict[str, Any]:
    return dict(json.loads((report / METRICS).read_text(encoding="utf-8")))


def _settings(manifests: Sequence[Artifact | None]) -> Iterator[tuple[str, str, str]]:
    """The settings of all stages that differ."""
    first, second = (
        flat({name: entry.get("settings") or {} for name, entry in manifest.lineage.items()}) if manifest else {}
        for manifest in manifests
    )
    for key in sorted(first.keys() | second.keys()):
        if first.get(key) != second.get(key):
            yield key, first.get(key, "—"), second.get(key, "—")


def _answers(shelf: Shelf, before: Path, after: Path, manifests: Sequence[Artifact | None]) -> list[Answer]:
    """The texts in both reports, known by the digests of their cleaned texts, with both answers."""
    one, other = (_by_digest(shelf, path, manifest) for path, manifest in zip((before, after), manifests, strict=True))
    return [
        Answer(doc_id, label, one[digest][2], predicted)
        for digest, (doc_id, label, predicted) in other.items()
        if digest in one and one[digest][1] == label
    ]


def _by_digest(shelf: Shelf, report: Path, manifest: Artifact | None) -> dict[str, tuple[str, str, str]]:
    """Id, label and answer of each test text."""
    columns = ["doc_id", "label", "predicted"]
    rows = pq.read_table(report / PREDICTIONS, columns=columns).to_pydict()
    splits = shelf.in_lineage(manifest, "splitting") if manifest else None
    if splits is None or splits.manifest is None:
        raise LookupError("the splits that it was tested on are gone, so its texts cannot be recognised")
    table = read_table(splits.path / SPLITS, ["doc_id", "digest"]).to_pydict()
    digests = dict(zip(table["doc_id"], table["digest"], strict=True))
    found = zip(*(rows[name] for name in columns), strict=True)
    return {digests.get(doc_id, doc_id): (doc_id, label, predicted) for doc_id, label, predicted in found}


def _paired(answers: Sequence[Answer]) -> Paired:
    right = np.array([[a.before == a.label, a.after == a.label] for a in answers], np.int64)

    def lead(drawn: Ints) -> Floats:
        return np.asarray((right[drawn, 1] - right[drawn, 0]).mean(-1))

    point = float((right[:, 1] - right[:, 0]).mean())
    low, high = interval(bootstrap(lead, len(right), SAMPLES, SEED), point, CONFIDENCE)
    only_before = int(((right[:, 0] == 1) & (right[:, 1] == 0)).sum())
    only_after = int(((right[:, 0] == 0) & (right[:, 1] == 1)).sum())
    means = right.mean(0)
    p = mcnemar(only_after, only_before)
    return Paired(len(right), float(means[0]), float(means[1]), low, high, only_before, only_after, p)


def _texts(shelf: Shelf, manifest: Artifact | None, doc_ids: Sequence[str]) -> dict[str, str]:
    """The beginnings of texts, by doc_id."""
    cleaned = shelf.in_lineage(manifest, "cleaning") if manifest else None
    if cleaned is None or not doc_ids:
        return {}
    rows = rows_with(part_files(cleaned.path / DOCUMENTS), "doc_id", doc_ids, ["doc_id", "text"])
    return {row["doc_id"]: row["text"][:CHARACTERS] for row in rows}


def _label_changes(metrics: Sequence[Mapping[str, Any] | None], most: int = 40) -> list[LabelChange]:
    """The labels whose F1 changed most."""
    first, second = ((each or {}).get("per_label", {}) for each in metrics)
    changes = [
        LabelChange(label, first.get(label, {}).get("f1"), second.get(label, {}).get("f1"))
        for label in sorted(first.keys() | second.keys())
    ]
    return sorted(changes, key=lambda change: -change.size)[:most]
