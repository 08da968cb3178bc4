"""The page of an artifact: what it is, its tables, its texts, its check, and how to open it elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.cleaning.schema import DROPPED_DATASET
from tasks.drift.schema import FIGURES_FILE
from tasks.evaluation.schema import DOUBTFUL, METRICS, MISTAKES, REPORT, WORDS
from tasks.promotion.schema import DECISION, certainty
from tasks.shared.checks.words import number
from tasks.shared.store.artifacts import Artifact
from tasks.site.charts import HALF, Chart, Histogram, Value, histogram, line_chart
from tasks.site.checks import read_failure, read_verdicts
from tasks.site.dropped import read_pairs
from tasks.site.glossary import STAGES, figure
from tasks.site.run_page import why_words
from tasks.site.shelf import Entry, Shelf, attempt
from tasks.site.tables import Lengths, Table, read_tables
from tasks.training.schema import HISTORY_FILE
from tasks.vocabulary.schema import DATASET as TOKENS

LABELS_SHOWN = 40
CURVES = {
    "loss": {"train_loss": "training", "validation_loss": "out of fold"},
    "accuracy": {"train_window_accuracy": "training windows", "validation_accuracy": "out of fold"},
}


@dataclass(frozen=True)
class Bar:
    """A value's count, and its shares here and in the champion's artifact, from 0 to 1."""

    name: str
    count: int
    share: float
    before: float | None


@dataclass(frozen=True)
class Balance:
    """How often each value of a column occurs, most frequent first."""

    column: str
    table: str
    bars: Sequence[Bar]
    more: int
    largest: float


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
        "balances": _balances(tables.value or (), before),
        "compared": other is not None and bool(before),
        "lengths": dict(_lengths(tables.value or (), before)),
        "pairs": attempt(read_pairs, entry.path) if stage == "cleaning" else None,
        "verdicts": attempt(read_verdicts, shelf.store, stage, entry.path.name),
        "curves": attempt(_curves, entry.path).value or {},
        "decision": _json(entry.path / DECISION),
        "drift": _json(entry.path / FIGURES_FILE),
        "confusions": attempt(_confusions, entry.path / METRICS, worst_pairs).value or [],
        "pairs_confused": attempt(_confusions, entry.path / METRICS, confused_labels).value or [],
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
    yield "rows", f"{artifact.rows:,}"
    yield "size", artifact.bytes
    yield "made in", f"{artifact.seconds:.1f} s"
    yield "made", artifact.created[:19].replace("T", " ") + " UTC"


def _figures(stage: str, summary: Mapping[str, Any], tables: Sequence[Table]) -> Iterator[tuple[str, Any]]:
    """The stage's own figures, except the counts that the balances show."""
    counted = [counts for table in tables for counts in table.counts.values()]
    for key, value in summary.items():
        if isinstance(value, Mapping):
            if value not in counted and value:
                ours = key in {"dropped", "baselines"}  # other keys are labels and documents
                first = list(value.items())[:LABELS_SHOWN]
                yield figure(stage, key), {figure(stage, k) if ours else k: v for k, v in first}
        elif key == "confidence" and value is not None:
            yield figure(stage, key), certainty(value)
        elif isinstance(value, list) and value and all(isinstance(each, float) for each in value):
            yield figure(stage, key), " to ".join(map(number, value))
        elif value is not None and key not in {"promote", "reason"}:  # the decision has its own section
            yield figure(stage, key), value


def _balances(tables: Sequence[Table], before: Sequence[Table]) -> list[Balance]:
    earlier = {table.name: table.counts for table in before}
    return [
        _balance(table.name, column, counts, earlier.get(table.name, {}).get(column))
        for table in tables
        for column, counts in table.counts.items()
        if table.name not in {DOUBTFUL, MISTAKES, WORDS}  # a list of the worst: its balance says nothing
    ]


def _balance(table: str, column: str, counts: Mapping[str, int], before: Mapping[str, int] | None) -> Balance:
    total, former = max(1, sum(counts.values())), max(1, sum((before or {}).values()))
    names = sorted({*counts, *(before or {})}, key=lambda name: (-counts.get(name, 0), name))
    bars = [
        Bar(
            name,
            count := counts.get(name, 0),
            count / total,
            None if before is None else before.get(name, 0) / former,
        )
        for name in names
    ]
    largest = max([max(bar.share, bar.before or 0.0) for bar in bars], default=1.0)
    return Balance(column, table, bars[:LABELS_SHOWN], len(bars) - len(bars[:LABELS_SHOWN]), largest or 1.0)


@dataclass(frozen=True)
class LengthChart:
    """The lengths of a table's texts, and those of the champion's; None if there are none to compare with."""

    now: Lengths
    before: Lengths | None
    drawn: Histogram


def _lengths(tables: Sequence[Table], before: Sequence[Table]) -> Iterator[tuple[str, LengthChart]]:
    """The lengths of each table that has texts, by its name."""
    earlier = {table.name: table.lengths for table in before}
    for table in tables:
        if table.lengths:
            former = earlier.get(table.name)
            yield (
                table.name,
                LengthChart(table.lengths, former, histogram(table.lengths.values, former.values if former else ())),
            )


def _curves(path: Path) -> dict[str, Chart]:
    """Loss and accuracy over the epochs, mean over the networks."""
    if not (path / HISTORY_FILE).exists():
        return {}
    from tasks.training.history import read_history

    history = read_history(path)
    charts = {}
    for title, lines in CURVES.items():
        series = [
            (name, [Value(float(epoch), float(y)) for epoch, y in zip(history["epoch"], history[column], strict=True)])
            for column, name in lines.items()
            if column in history
        ]
        ticks = [(float(epoch), f"{epoch:.0f}") for epoch in history["epoch"]]
        step = max(1, len(ticks) // 12)
        chart = line_chart(series, ticks[::step], floor=0.0, width=HALF)
        if chart is not None:
            charts[title] = chart
    return charts


def _confusions(metrics: Path, choose: Callable[[Mapping[str, Any]], list[Any]]) -> list[Any]:
    return choose(json.loads(metrics.read_text(encoding="utf-8"))) if metrics.exists() else []


def worst_pairs(metrics: Mapping[str, Any], limit: int = 20) -> list[Any]:
    """The most frequent confusions in metrics.json."""
    from tasks.evaluation.results import worst_confusions
    from tasks.evaluation.summary import read_confusion

    found = metrics["confusion"]
    return worst_confusions(found["labels"], read_confusion(found), limit)


@dataclass(frozen=True)
class Confused:
    """Two labels, and how many documents of the one were taken for the other, `there` and `back`."""

    label: str
    other: str
    there: int
    back: int

    @property
    def documents(self) -> int:
        """Both directions together."""
        return self.there + self.back


def confused_labels(metrics: Mapping[str, Any], limit: int = 10) -> list[Confused]:
    """The pairs of labels that are confused most in metrics.json; ties in the order of the labels."""
    from tasks.evaluation.results import worst_confusions
    from tasks.evaluation.summary import read_confusion

    names, matrix = metrics["confusion"]["labels"], read_confusion(metrics["confusion"])
    place = {name: number for number, name in enumerate(names)}
    both = worst_confusions(names, np.triu(matrix + matrix.T, 1), limit)
    ends = [(place[each.label], place[each.predicted]) for each in both]
    return [Confused(names[a], names[b], int(matrix[a, b]), int(matrix[b, a])) for a, b in ends]


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
