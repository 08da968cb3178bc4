"""Which models are shown side by side: each new one with the one before it and with the champion, and asked pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tasks.shared.errors import InputError
from tasks.shared.files import write_text
from tasks.shared.store.records import RunRecord
from tasks.site.reading.shelf import Shelf, folder_of, model_of

ASKED = ".pairs.json"
NEWEST = 8
REPORTS = "08_reports"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Side:
    """A measured model, as the list of comparisons names it."""

    title: str
    accuracy: float | None
    macro_f1: float | None
    champion: bool = False


def report_of(record: RunRecord) -> str | None:
    """The fingerprint of a run's report."""
    return next((entry.fingerprint for entry in record.stages if folder_of(entry) == REPORTS), None)


def pairs(shelf: Shelf, site: Path) -> list[Pair]:
    """The fingerprints of two reports each, before and after, newest first."""
    there = shelf.present.get("evaluation", set())
    newest = [name for name in dict.fromkeys(map(report_of, shelf.records)) if name in there and name][: NEWEST + 1]
    champions = report_of_champion(shelf)
    found: dict[Pair, None] = {}
    for after, before in pairwise(newest):
        found[before, after] = None
    for after in newest[:NEWEST]:
        if champions is not None and champions != after and champions in there and (after, champions) not in found:
            found[champions, after] = None
    asked = [pair for pair in read_asked(site) if set(pair) <= there]
    measured = first_runs(shelf)
    return list(dict.fromkeys(_older_first(pair, measured) for pair in [*asked, *found]))


def first_runs(shelf: Shelf) -> dict[str, RunRecord]:
    """The run that measured each report: the first that names it."""
    return {name: record for record in shelf.records if record.metrics and (name := report_of(record))}


def _older_first(pair: Pair, measured: Mapping[str, RunRecord]) -> Pair:
    one, other = ((measured[name].id if name in measured else "", name) for name in pair)
    return pair if one <= other else pair[::-1]


def report_of_champion(shelf: Shelf) -> str | None:
    """The fingerprint of the newest report on the champion."""
    if shelf.champion is None:
        return None
    model = shelf.champion.current.model
    runs = (r for r in shelf.records if (made := model_of(r)) is not None and made.fingerprint == model)
    return next((name for name in map(report_of, runs) if name), None)


def side(shelf: Shelf, report: str) -> Side:
    """A report's model and scores, from the runs' records."""
    record = first_runs(shelf).get(report)
    if record is None or not record.metrics:
        return Side(report[:10], None, None)
    title = f"{model_name(record)}, {record.started[:19].replace('T', ' ')}"
    is_champion = report == report_of_champion(shelf)
    return Side(title, record.metrics.get("accuracy"), record.metrics.get("macro_f1"), is_champion)


def model_name(record: RunRecord) -> str:
    """The beginning of the fingerprint of a run's model, by which all pages name it."""
    model = model_of(record)
    return model.fingerprint[:10] if model else ""


def path_of(pair: Pair) -> str:
    """Where a comparison lies in the site."""
    return f"compare/{pair[0][:10]}-{pair[1][:10]}.html"


def links_for(
    record: RunRecord, chosen: Sequence[Pair], measured: Mapping[str, RunRecord]
) -> Iterator[tuple[str, str]]:
    """The comparisons of a run's model with those before it: their titles and pages."""
    report = report_of(record)
    for before, after in chosen:
        if report == after:
            name = model_name(measured[before]) if before in measured else ""
            yield f"Compared with {name or before[:10]}", path_of((before, after))


def read_asked(site: Path) -> list[Pair]:
    """The pairs that were asked for."""
    try:
        return [(str(one), str(other)) for one, other in json.loads((site / ASKED).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def ask(shelf: Shelf, site: Path, one: str, other: str) -> Pair:
    """Adds a pair to the site, the older one first.

    Each is named by the start of a run's id, of a model's or of a report's fingerprint. Raises InputError if a name
    fits no measured run whose report is still there, or if both name the same model.
    """
    pair = _older_first((_find(shelf, one), _find(shelf, other)), first_runs(shelf))
    if pair[0] == pair[1]:
        raise InputError(f"{shelf.store.root}: {one!r} and {other!r} name the same model")
    write_text(site / ASKED, json.dumps(list(dict.fromkeys([pair, *read_asked(site)]))[:20]) + "\n")
    return pair


def _find(shelf: Shelf, name: str) -> str:
    for record in shelf.records:
        report, model = report_of(record), model_of(record)
        names = (record.id, report, model.fingerprint if model else None)
        if report in shelf.present.get("evaluation", ()) and any(
            each is not None and each.startswith(name) for each in names
        ):
            return str(report)
    raise InputError(
        f"{shelf.store.root}: {name!r}: no measured run or model with a report starts with it; see `corpusflow runs`"
    )
