"""Every page of the site: its template, what fills it, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tasks.evaluation.schema import REPORT
from tasks.shared.store.fingerprint import digest_of
from tasks.shared.store.records import RunRecord, runs_folder
from tasks.site.pages.artifact import artifact_content, quarantine_content
from tasks.site.pages.comparison import comparison_content
from tasks.site.pages.home import home_content
from tasks.site.pages.report import made_from, report_content
from tasks.site.pages.run import link_key, run_content
from tasks.site.reading.glossary import STAGES
from tasks.site.reading.pairs import Pair, first_runs, links_for, pairs, path_of, report_of, side
from tasks.site.reading.shelf import Shelf, artifact_stamp, champion_stamp, quarantine_of, stamp

ARTIFACTS_KEPT, RUNS_ON_PAGE = 5, 100
"""Artifacts of each stage that have a page, the newest and the champion's; runs on a page of the list."""


@dataclass(frozen=True)
class Page:
    """A page of the site: where it lies, what it depends on, and what fills its template."""

    path: str
    template: str
    key: Any
    fill: Callable[[], Mapping[str, Any]]


def plan(shelf: Shelf, site: Path) -> Iterator[Page]:
    """Every page of the site in the folder `site`."""
    shown = dict(_shown_artifacts(shelf))
    links = _links(shelf, shown)
    state = [[record.id, record.status, stamp(_record_file(shelf, record))] for record in shelf.records]
    present = {stage: sorted(names) for stage, names in shelf.present.items()}  # of these the disk use depends
    everything = [state, champion_stamp(shelf), shelf.latest, links, present]
    yield Page("index.html", "home.html", everything, partial(home_content, shelf, links))
    yield from _run_lists(shelf)
    chosen = pairs(shelf, site)
    compared = partial(links_for, chosen=chosen, measured=first_runs(shelf))
    yield from (
        _run_page(shelf, record, before, links, list(compared(record)))
        for record, before in _with_former(shelf.records)
    )
    yield from _comparisons(shelf, chosen, links)
    yield from _artifact_pages(shelf, shown, links)
    yield from _empty_stages(shelf)
    yield from _quarantine_pages(shelf)


def _record_file(shelf: Shelf, record: RunRecord) -> Path:
    return runs_folder(shelf.store) / f"{record.id}.json"


def _shown_artifacts(shelf: Shelf) -> Iterator[tuple[str, list[str]]]:
    """The artifacts of each stage that have a page: those of the newest runs, and the champion's."""
    for stage, present in shelf.present.items():
        recent = dict.fromkeys(e.fingerprint for r in shelf.records for e in r.stages if e.stage == stage)
        names = [name for name in recent if name in present][:ARTIFACTS_KEPT]
        champions = shelf.champions(stage)
        extra = [champions.path.name] if champions is not None and champions.path.name in present else []
        yield stage, list(dict.fromkeys([*names, *extra, *[n for n in [shelf.latest.get(stage)] if n]]))


def _links(shelf: Shelf, shown: Mapping[str, list[str]]) -> dict[str, str]:
    """The page of each artifact, by folder and fingerprint; and of each report, by `report` and fingerprint."""
    links = {f"{shelf.folders[stage]}/{name}": artifact_path(stage, name) for stage in shown for name in shown[stage]}
    reports = shown.get("evaluation", [])
    return links | {f"report/{name}": report_path(name) for name in reports}


def artifact_path(stage: str, fingerprint: str) -> str:
    """Where the page of an artifact lies in the site."""
    return f"artifacts/{stage}-{fingerprint}.html"


def report_path(fingerprint: str) -> str:
    """Where the report lies in the site."""
    return f"reports/{fingerprint}.html"


def _run_lists(shelf: Shelf) -> Iterator[Page]:
    """The runs, a hundred on a page, counted from the oldest, so that a new run changes the newest page alone."""
    oldest_first = shelf.records[::-1]
    count = max(1, -(-len(oldest_first) // RUNS_ON_PAGE))
    for number in range(count):
        records = oldest_first[number * RUNS_ON_PAGE : (number + 1) * RUNS_ON_PAGE][::-1]
        path = "runs/index.html" if number == count - 1 else f"runs/page-{number + 1}.html"
        newer = None if number == count - 1 else "index" if number == count - 2 else f"page-{number + 2}"
        content = {"records": records, "older": f"page-{number}" if number else None, "newer": newer}
        key = [[record.id, record.status, stamp(_record_file(shelf, record))] for record in records]
        yield Page(path, "runs.html", [key, newer], partial(dict, content))


def _with_former(records: list[RunRecord]) -> Iterator[tuple[RunRecord, str]]:
    """Each run with the id of the run of the same flow before it."""
    former: dict[str, str] = {}
    found = []
    for record in reversed(records):
        found.append((record, former.get(record.flow, "")))
        former[record.flow] = record.id
    return reversed(found)


def _run_page(
    shelf: Shelf, record: RunRecord, before: str, links: Mapping[str, str], compared: list[tuple[str, str]]
) -> Page:
    where = quarantine_of(record)
    names = [*map(link_key, record.stages), f"report/{report_of(record)}"]
    mine = {name: links[name] for name in names if name in links}
    key = [
        stamp(_record_file(shelf, record)),
        record.status,
        before,
        mine,
        compared,
        where is not None and where.exists(),
    ]
    more = {"report": mine.get(f"report/{report_of(record)}", ""), "comparisons": compared}
    return Page(f"runs/{record.id}.html", "run.html", key, lambda: {**run_content(shelf, record, mine), **more})


def _comparisons(shelf: Shelf, chosen: list[Pair], links: Mapping[str, str]) -> Iterator[Page]:
    rows = [
        {"before": side(shelf, pair[0]), "after": side(shelf, pair[1]), "link": path_of(pair).partition("/")[2]}
        for pair in chosen
    ]
    yield Page("compare/index.html", "comparisons.html", [chosen, digest_of(str(rows))], lambda: {"pairs": rows})
    for pair in chosen:
        paths = [shelf.store.place(shelf.folders["evaluation"], name) for name in pair]
        reports = [links.get(f"report/{name}", "") for name in pair]
        champion = shelf.champion.current.model if shelf.champion else None
        key = [[artifact_stamp(shelf, "evaluation", path) for path in paths], reports, champion]
        yield Page(path_of(pair), "comparison.html", key, partial(comparison_content, shelf, *pair, links))


def _artifact_pages(shelf: Shelf, shown: Mapping[str, list[str]], links: Mapping[str, str]) -> Iterator[Page]:
    for stage, names in shown.items():
        for name in names:
            entry_path = shelf.store.place(shelf.folders[stage], name)
            key = artifact_stamp(shelf, stage, entry_path)
            make = partial(_artifact, shelf, stage, name, names)
            yield Page(artifact_path(stage, name), "artifact.html", key, partial(make, newest=False))
            if stage == "evaluation" and (entry_path / REPORT).exists():
                runs = [r.id for r in shelf.records if report_of(r) == name][-1:]
                yield Page(
                    report_path(name),
                    "",
                    [key, runs, sorted(made_from(shelf, name, links))],
                    partial(report_content, shelf, name, links),
                )
            if name == shelf.latest.get(stage):
                champions = shelf.champions(stage)
                other = artifact_stamp(shelf, stage, champions.path) if champions else None
                present = sorted(shelf.present[stage])
                yield Page(f"stages/{stage}.html", "artifact.html", [key, other, present], partial(make, newest=True))


def _empty_stages(shelf: Shelf) -> Iterator[Page]:
    """A page for each stage that has no newest artifact: its links lead somewhere, whatever happened to it."""
    for stage in shelf.frame.stages:
        if stage not in shelf.latest:
            content = {"stage": stage, "sentence": STAGES.get(stage, ""), "known": stage in shelf.folders}
            yield Page(f"stages/{stage}.html", "empty.html", content, partial(dict, content))


def _artifact(shelf: Shelf, stage: str, name: str, linked: list[str], newest: bool) -> dict[str, Any]:
    return artifact_content(shelf, stage, shelf.of_stage(stage, name), newest) | {"linked": linked}


def _quarantine_pages(shelf: Shelf) -> Iterator[Page]:
    for path in sorted((shelf.store.root / "quarantine").glob("*/")):
        key = [stamp(path / "quarantine.json"), stamp(path / "artifact.json")]
        content = partial(_quarantined, shelf, path)
        yield Page(f"quarantine/{path.name}.html", "artifact.html", key, content)


def _quarantined(shelf: Shelf, path: Path) -> dict[str, Any]:
    return quarantine_content(shelf, path) | {"linked": []}
