"""The page of an artifact: what it is, its tables, its texts, its check, and how to open it elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.cleaning.schema import CONFLICTS_DATASET, DROPPED_DATASET
from tasks.drift.schema import FIGURES_FILE
from tasks.evaluation.schema import METRICS, REPORT
from tasks.promotion.schema import DECISION, certainty
from tasks.shared.store.artifacts import Artifact
from tasks.site.drawing.render import decimals
from tasks.site.pages.plots import LABELS_SHOWN, balances, learning_curves, length_charts
from tasks.site.reading.changes import why_words
from tasks.site.reading.checks import read_failure, read_verdicts
from tasks.site.reading.confusions import confused_labels, read_confusions, worst_pairs
from tasks.site.reading.dropped import read_pairs
from tasks.site.reading.glossary import STAGES, figure
from tasks.site.reading.shelf import Entry, Shelf, attempt
from tasks.site.reading.tables import Table, read_tables
from tasks.vocabulary.schema import DATASET as TOKENS


def artifact_content(shelf: Shelf, stage: str, entry: Entry, newest: bool) -> dict[str, Any]:
    """What the template `artifact.html` shows; `newest` compares it with the champion's artifact."""
    manifest = entry.manifest
    vocabulary = _vocabulary(shelf, manifest)
    tables = attempt(read_tables, stage, entry.path, vocabulary)
    champions = shelf.champions(stage) if newest else None
    other = champions if champions is not None and champions.path != entry.path else None
    before: Sequence[Table] = (attempt(read_tables, stage, other.path, None).value or ()) if other else ()
    return {
        "stage": stage,
        "sentence": STAGES.get(stage, ""),
        "entry": entry,
        "newest": newest,
        "facts": list(_facts(manifest)) if manifest else [],
        "figures": list(_figures(manifest.stage, manifest.summary, tables.value or ())) if manifest else [],
        "tables": tables,
        "balances": balances(tables.value or (), before),
        "champions_own": champions is not None and champions.path == entry.path,
        "compared": other is not None and bool(before),
        "lengths": dict(length_charts(tables.value or (), before)),
        "pairs": attempt(read_pairs, entry.path) if stage == "cleaning" else None,
        "verdicts": attempt(read_verdicts, shelf.store, stage, entry.path.name),
        "curves": attempt(learning_curves, entry.path).value or {},
        "decision": _json(entry.path / DECISION),
        "drift": _json(entry.path / FIGURES_FILE),
        "confusions": attempt(read_confusions, entry.path / METRICS, worst_pairs).value or [],
        "pairs_confused": attempt(read_confusions, entry.path / METRICS, confused_labels).value or [],
        "dropped": next((table.rows for table in tables.value or () if table.name == DROPPED_DATASET), None),
        "report": (entry.path / REPORT).exists(),
        "earlier": _earlier(shelf, stage, entry.path.name) if newest else [],
        "why": why_words(_reasons(shelf, stage, entry.path.name)),
    }


def quarantine_content(shelf: Shelf, path: Path) -> dict[str, Any]:
    """The same for an artifact in quarantine, with what is wrong with it."""
    entry = shelf.entry(path)
    stage = entry.manifest.stage if entry.manifest else _stage_in(path)
    return artifact_content(shelf, stage, entry, newest=False) | {"failure": attempt(read_failure, path)}


def _stage_in(path: Path) -> str:
    return str((_json(path / "quarantine.json") or {}).get("stage", "unknown"))


def _json(path: Path) -> Any:
    return attempt(lambda: json.loads(path.read_text(encoding="utf-8"))).value


def _vocabulary(shelf: Shelf, manifest: Artifact | None) -> Path | None:
    made = shelf.in_lineage(manifest, "vocabulary") if manifest and manifest.stage != "vocabulary" else None
    return made.path / TOKENS if made and made.manifest else None


def _facts(artifact: Artifact) -> Iterator[tuple[str, Any]]:
    yield "made", f"{artifact.created[:19].replace('T', ' ')} UTC, in {artifact.seconds:.1f} s"
    yield "rows", f"{artifact.rows:,}"
    yield "size", artifact.bytes


def _figures(stage: str, summary: Mapping[str, Any], tables: Sequence[Table]) -> Iterator[tuple[str, Any]]:
    """The stage's own figures, except the counts that the balances show."""
    counted = [counts for table in tables for counts in table.counts.values()]
    for key, value in summary.items():
        if key == CONFLICTS_DATASET:
            continue  # a table of its own
        if key == DROPPED_DATASET and isinstance(value, Mapping):
            reasons = ", ".join(f"{count:,} {figure(stage, reason)}" for reason, count in value.items())
            yield figure(stage, key), reasons or "none"
        elif isinstance(value, Mapping):
            if value not in counted and value:
                ours = key == "baselines"  # other keys are labels and documents
                first = list(value.items())[:LABELS_SHOWN]
                yield figure(stage, key), {figure(stage, k) if ours else k: v for k, v in first}
        elif key == "confidence" and value is not None:
            yield figure(stage, key), certainty(value)
        elif isinstance(value, list) and value and all(isinstance(each, float) for each in value):
            yield figure(stage, key), " to ".join(map(decimals, value))
        elif value is not None and key not in {"promote", "reason"}:  # the decision has its own section
            yield figure(stage, key), value


def _earlier(shelf: Shelf, stage: str, but: str) -> list[Entry]:
    entries = [shelf.of_stage(stage, name) for name in shelf.present.get(stage, ()) if name != but]
    return sorted(entries, key=lambda entry: entry.manifest.created if entry.manifest else "", reverse=True)


def _reasons(shelf: Shelf, stage: str, fingerprint: str) -> list[str]:
    """Why it was built, from the newest run that did."""
    for record in shelf.records:
        for entry in record.stages:
            if entry.stage == stage and entry.fingerprint == fingerprint and entry.status == "built":
                return entry.reasons
    return []
