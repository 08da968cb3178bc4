"""The first page: the champion, scores over time, the newest runs, drift, disk use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.drift.schema import FIGURES
from tasks.evaluation.schema import METRICS as METRICS_FILE
from tasks.shared.store.champion import Promotion
from tasks.shared.store.records import RunRecord
from tasks.site.drawing.charts import HALF, Chart, Value, line_chart
from tasks.site.pages.notices import notices
from tasks.site.reading.confusions import Confused, confused_labels, read_confusions
from tasks.site.reading.pairs import report_of_champion
from tasks.site.reading.shelf import Shelf, attempt, model_of

RUNS_SHOWN, MODELS_DRAWN, DRIFTS_DRAWN, HISTORY_SHOWN = 12, 120, 120, 8
METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


@dataclass(frozen=True)
class Crowned:
    """A champion, now or earlier, with the scores of its report."""

    promotion: Promotion
    metrics: Mapping[str, Any] | None
    run: RunRecord | None
    """The run that made it the champion, or the first that trained it."""


def home_content(shelf: Shelf, links: Mapping[str, str]) -> dict[str, Any]:
    """What the template `home.html` shows."""
    scored = _scored(shelf)
    return {
        "champion": _crowned(shelf, shelf.champion.current) if shelf.champion else None,
        "champion_links": _champion_links(shelf, links),
        "confused": _most_confused(shelf, links),
        "history": _history(shelf),
        "scores": scores_chart(shelf, scored),
        "candidates": len(scored),
        "runs": shelf.records[:RUNS_SHOWN],
        "run_count": len(shelf.records),
        "drift": drift_chart(shelf),
        "drift_from": drift_champions(shelf),
        "disk": disk_use(shelf.store.root),
        "notices": list(notices(shelf)),
    }


def _scored(shelf: Shelf) -> list[tuple[RunRecord, str]]:
    """The first run of each model that was measured, oldest first, with the model's fingerprint."""
    found: dict[str, RunRecord] = {}
    for record in reversed(shelf.records):
        model = model_of(record)
        if record.metrics and model is not None:
            found.setdefault(model.fingerprint, record)
    return [(record, model) for model, record in found.items()][-MODELS_DRAWN:]


def _crowned(shelf: Shelf, promotion: Promotion) -> Crowned:
    runs = [r for r in shelf.records if (model := model_of(r)) is not None and model.fingerprint == promotion.model]
    measured = next((record for record in runs if record.metrics), None)
    by = shelf.run_of(promotion.run) or (runs[-1] if runs else None)
    return Crowned(promotion, measured.metrics if measured else None, by)


def _history(shelf: Shelf) -> list[Crowned]:
    history = shelf.champion.history if shelf.champion else ()
    return [_crowned(shelf, promotion) for promotion in reversed(history)][:HISTORY_SHOWN]


def _champion_links(shelf: Shelf, links: Mapping[str, str]) -> dict[str, str]:
    """The pages of the champion's model and report."""
    model = shelf.champion.current.model if shelf.champion else ""
    report = report_of_champion(shelf)
    return {"model": links.get(f"07_models/{model}", ""), "report": links.get(f"report/{report}", "")}


def _most_confused(shelf: Shelf, links: Mapping[str, str]) -> tuple[Confused, str] | None:
    """The two labels that the champion confuses most, and the page of its evaluation; None if it confuses none."""
    report = report_of_champion(shelf)
    if report is None:
        return None
    path = shelf.of_stage("evaluation", report).path
    found = attempt(read_confusions, path / METRICS_FILE, confused_labels).value
    return (found[0], links.get(f"{path.parent.name}/{report}", "")) if found else None


def scores_chart(shelf: Shelf, scored: Sequence[tuple[RunRecord, str]]) -> Chart | None:
    """Accuracy and macro-F1 of every model, in order; those that became champion are marked."""
    crowned = {promotion.model for promotion in shelf.champion.history} if shelf.champion else set()
    series = []
    for key, title in METRICS.items():
        values = [
            Value(
                float(number),
                float(record.metrics[key]),
                f"{title} {record.metrics[key]:.3f}, {record.started[:19].replace('T', ' ')}, model {model[:10]}"
                + (", became champion" if model in crowned else ""),
                f"runs/{record.id}.html",
                model in crowned,
            )
            for number, (record, model) in enumerate(scored)
            if record.metrics and isinstance(record.metrics.get(key), int | float)
        ]
        series.append((title, values))
    return line_chart(series, _dates([record for record, _ in scored]))


def _dates(records: Sequence[RunRecord], most: int = 6) -> list[tuple[float, str]]:
    """Labels of the horizontal axis: days, or times if all runs are of one day."""
    step = max(1, -(-len(records) // most))
    of_one_day = len({record.started[:10] for record in records}) == 1
    part = slice(11, 16) if of_one_day else slice(0, 10)
    return [(float(i), records[i].started[part]) for i in range(0, len(records), step)]


def _drifts(shelf: Shelf) -> list[tuple[RunRecord, Mapping[str, Any], str]]:
    """Every measured drift, oldest first: its run, its figures, and the champion that it was measured from."""
    measured: dict[str, tuple[RunRecord, Mapping[str, Any], str]] = {}
    for record in reversed(shelf.records):
        for entry in record.stages:
            if entry.stage == "drift" and entry.fingerprint not in measured:
                manifest = shelf.of_stage(entry.stage, entry.fingerprint).manifest
                if manifest is not None:
                    measured[entry.fingerprint] = (record, manifest.summary, _champion_at(shelf, record.started))
    return list(measured.values())[-DRIFTS_DRAWN:]


def _champion_at(shelf: Shelf, moment: str) -> str:
    """The model that was the champion then; empty if that is not known."""
    history = shelf.champion.history if shelf.champion else ()
    return next((p.model for p in sorted(history, key=lambda p: p.since, reverse=True) if p.since < moment), "")


def drift_champions(shelf: Shelf) -> list[tuple[str, int, bool]]:
    """The champions that the drifts were measured from, newest first: model, number of points, whether it is in use."""
    present = shelf.champion.current.model if shelf.champion else ""
    counts = Counter(model for _, _, model in reversed(_drifts(shelf)) if model)
    return [(model, count, model == present) for model, count in counts.items()]


def drift_chart(shelf: Shelf) -> Chart | None:
    """The figures of every measured drift, in order; those from the present champion's texts are marked."""
    points = _drifts(shelf)
    present = shelf.champion.current.model if shelf.champion else ""
    series = [
        (
            title,
            [
                Value(
                    float(i),
                    float(summary[name]),
                    f"{title} {summary[name]:.3f}, from the champion {model[:10] or 'of then'}",
                    f"runs/{record.id}.html",
                    bool(model) and model == present,
                )
                for i, (record, summary, model) in enumerate(points)
                if name in summary
            ],
        )
        for name, title in FIGURES.items()
    ]
    return line_chart(series, _dates([record for record, *_ in points]), floor=0.0, width=HALF)


def disk_use(root: Path) -> list[tuple[str, int]]:
    """Bytes of each folder in the data folder, largest first."""
    sizes = [(entry.name, _bytes(entry.path)) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    return sorted(((name, size) for name, size in sizes if size), key=lambda item: -item[1])


def _bytes(folder: str) -> int:
    total = 0
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                total += _bytes(entry.path)
            elif not entry.is_symlink():
                total += entry.stat(follow_symlinks=False).st_size
    except OSError:
        return total  # it was pruned meanwhile
    return total
