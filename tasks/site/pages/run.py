"""The page of a run: its graph, why each stage was built, what failed, the settings, the decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.shared.store.records import RunRecord, StageRecord
from tasks.site.drawing.graph import draw
from tasks.site.reading.changes import CHAMPION, causes, changed_settings, flat, why_words
from tasks.site.reading.checks import read_failure
from tasks.site.reading.glossary import STAGES
from tasks.site.reading.shelf import Shelf, attempt, folder_of, quarantine_of


@dataclass(frozen=True)
class Node:
    """A stage in the graph; `status` is reused, built, failed, interrupted, missing (not reached) or champion."""

    name: str
    status: str
    sentence: str
    seconds: float | None
    rows: int | None
    link: str


def run_content(shelf: Shelf, record: RunRecord, links: Mapping[str, str]) -> dict[str, Any]:
    """What the template `run.html` shows; `links` has the pages of artifacts, by folder and fingerprint."""
    where = quarantine_of(record)
    before = _run_before(shelf, record)
    edges, stages = graph_of(shelf, record)
    nodes = {node.name: node for node in _nodes(record, stages, links)}
    return {
        "record": record,
        "before": before,
        "drawing": draw(list(nodes), edges),
        "nodes": nodes,
        "causes": causes(record),
        "best": _best_baseline(record),
        "rows_before": {entry.stage: entry.rows for entry in before.stages} if before else {},
        "rows_now": {entry.stage: entry.rows for entry in record.stages},
        "built": sum(entry.status == "built" for entry in record.stages),
        "entries": [(entry, why_words(entry.reasons), links.get(link_key(entry), "")) for entry in record.stages],
        "failure": attempt(read_failure, where) if where else None,
        "quarantine": where,
        "settings": changed_settings(record, shelf.frame.defaults, before),
        "all_settings": sorted(flat(record.settings).items()),
    }


def _best_baseline(record: RunRecord) -> tuple[str, Mapping[str, Any]] | None:
    """The name and the scores of the most accurate baseline; the first one of equals."""
    baselines = (record.metrics or {}).get("baselines") or {}
    return max(baselines.items(), key=lambda item: float(item[1].get("accuracy", 0.0)), default=None)


def link_key(entry: StageRecord) -> str:
    """Names the artifact of an entry among the links."""
    return f"{folder_of(entry)}/{entry.fingerprint}"


def _run_before(shelf: Shelf, record: RunRecord) -> RunRecord | None:
    return next((each for each in shelf.records if each.id < record.id and each.flow == record.flow), None)


def graph_of(shelf: Shelf, record: RunRecord) -> tuple[list[tuple[str, str]], list[str]]:
    """The edges between a run's stages, and all stages; those not reached come from the run that got furthest."""
    furthest = max([record, *shelf.records[:50]], key=lambda r: (r.flow == record.flow, len(r.stages)))
    stages = [entry.stage for entry in record.stages]
    edges = edges_of(shelf, record)
    if record.status != "completed":
        stages += [entry.stage for entry in furthest.stages if entry.stage not in stages and entry.stage != "drift"]
        if record.current_stage and record.current_stage not in stages:
            stages.append(record.current_stage)
        reached = {target for _, target in edges}
        edges += [edge for edge in edges_of(shelf, furthest) if edge[1] not in reached]
    if any(source == CHAMPION for source, _ in edges):
        stages.append(CHAMPION)
    return edges, stages


def edges_of(shelf: Shelf, record: RunRecord) -> list[tuple[str, str]]:
    """Which stage's artifact each stage read; for records of earlier versions, from the artifacts' manifests."""
    made = {entry.fingerprint: entry.stage for entry in record.stages}
    edges = []
    for entry in record.stages:
        inputs = entry.inputs or _inputs_by_digest(shelf, record, entry)
        for name, fingerprint in inputs.items():
            source = CHAMPION if name.startswith(CHAMPION) else made.get(fingerprint)
            if source is not None and source != entry.stage:
                edges.append((source, entry.stage))
    return edges


def _inputs_by_digest(shelf: Shelf, record: RunRecord, entry: StageRecord) -> dict[str, str]:
    manifest = shelf.of_stage(entry.stage, entry.fingerprint).manifest
    if manifest is None:
        return {}
    others = [(shelf.of_stage(each.stage, each.fingerprint).manifest, each) for each in record.stages]
    by_digest = {other.digest: each.fingerprint for other, each in others if other is not None}
    return {name: by_digest.get(digest, "") for name, digest in manifest.recipe.inputs.items()}


def _nodes(record: RunRecord, stages: Sequence[str], links: Mapping[str, str]) -> Iterator[Node]:
    done = {entry.stage: entry for entry in record.stages}
    for stage in stages:
        entry = done.get(stage)
        sentence = STAGES.get(stage, "the model in use" if stage == CHAMPION else "")
        if entry is not None:
            link = links.get(link_key(entry), "")
            yield Node(stage, entry.status, sentence, entry.seconds, entry.rows, link)
        elif stage == CHAMPION:
            yield Node(stage, CHAMPION, sentence, None, None, "")
        else:
            stopped = stage == record.current_stage and record.status != "completed"
            yield Node(stage, record.status if stopped else "missing", sentence, None, None, "")
