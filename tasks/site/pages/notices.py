"""What needs attention: failed runs and checks, a decision that waits for a person, labels worth a second look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.shared.store.artifacts import Artifact
from tasks.site.reading.checks import read_verdicts
from tasks.site.reading.shelf import Shelf, attempt


@dataclass(frozen=True)
class Notice:
    """Something that needs attention, and the page about it."""

    level: str
    text: str
    link: str
    since: str = ""
    """When what it is about was made; empty if unknown."""


def notices(shelf: Shelf) -> Iterator[Notice]:
    """Everything that needs attention, the most urgent first."""
    newest = next(iter(shelf.records), None)
    if newest is not None and newest.status in {"failed", "interrupted"}:
        ended = "failed" if newest.status == "failed" else "was interrupted"
        where = f"in {newest.current_stage}" if newest.current_stage else "before its first stage"
        text = f"The newest run {ended} {where}"
        yield Notice(
            "bad", f"{text}: {newest.message}" if newest.message else text, f"runs/{newest.id}.html", newest.started
        )
    if shelf.read_champion.problem:
        yield Notice("bad", f"The champion cannot be read: {shelf.read_champion.problem}", "index.html")
    yield from _of_checks(shelf)
    yield from _of_decision(shelf)
    yield from _of_labels(shelf)


def _of_checks(shelf: Shelf) -> Iterator[Notice]:
    """The expectations that the newest artifacts do not meet; drift counts only if it is the present champion's."""
    for stage, fingerprint in shelf.latest.items():
        manifest = shelf.of_stage(stage, fingerprint).manifest
        if stage == "drift" and not (manifest and _is_current(shelf, manifest)):
            continue
        found = attempt(read_verdicts, shelf.store, stage, fingerprint).value
        for line in found.lines if found else ():
            if line.verdict != "holds":
                about = f"{line.column} {line.limit}" if line.column else line.limit
                text = f"Check of {stage}: expected {about}, found {line.found} ({line.reason})"
                yield Notice("warn", text, f"stages/{stage}.html#check", manifest.created if manifest else "")


def _of_decision(shelf: Shelf) -> Iterator[Notice]:
    """A better model that waits for a person, and labels that the champion cannot predict."""
    summary, made = _summary(shelf, "promotion")
    champion = shelf.champion.current.model if shelf.champion else ""
    newest = shelf.latest.get("stacking", "")
    if summary.get("promote") and newest and newest != champion:
        text = f"A better model waits for a person: `corpusflow champion --set {newest[:10]}`"
        yield Notice("warn", text, "stages/promotion.html#decision", made)
    if summary.get("new_labels") and newest != champion:
        names = ", ".join(list(summary["new_labels"])[:10])
        yield Notice("warn", f"Labels that the champion does not know: {names}", "stages/promotion.html#decision", made)


def _of_labels(shelf: Shelf) -> Iterator[Notice]:
    summary, made = _summary(shelf, "cleaning")
    conflicts = summary.get("conflicting_labels")
    if conflicts:
        text = f"{conflicts:,} text{'' if conflicts == 1 else 's'} under more than one label"
        yield Notice("warn", f"{text}: see the table conflicts", "stages/cleaning.html#table-conflicts", made)
    measured = next((record for record in shelf.records if record.metrics), None)
    doubtful = ((measured and measured.metrics) or {}).get("doubtful_labels")
    if isinstance(doubtful, Mapping) and doubtful.get("documents") and "evaluation" in shelf.latest:
        _, made = _summary(shelf, "evaluation")
        text = f"{doubtful['documents']:,} of {doubtful['labelled']:,} labels are worth a second look"
        yield Notice("warn", text, "stages/evaluation.html#table-doubtful_labels.parquet", made)


def _summary(shelf: Shelf, stage: str) -> tuple[Mapping[str, Any], str]:
    """The summary of a stage's newest artifact, and when it was made; a decision about a former champion has none."""
    manifest = _newest(shelf, stage)
    if manifest is None or (stage == "promotion" and not _is_current(shelf, manifest)):
        return {}, ""
    return manifest.summary, manifest.created


def _newest(shelf: Shelf, stage: str) -> Artifact | None:
    fingerprint = shelf.latest.get(stage)
    return shelf.of_stage(stage, fingerprint).manifest if fingerprint else None


def _is_current(shelf: Shelf, manifest: Artifact) -> bool:
    """Whether a drift or a decision is about the present champion and the newest texts."""
    inputs, cleaned = manifest.recipe.inputs, _newest(shelf, "cleaning")
    if cleaned is None or inputs.get("cleaned") != cleaned.digest:
        return False
    if manifest.stage == "promotion":
        return inputs.get("champion") == (shelf.champion.current.digest if shelf.champion else None)
    splits = shelf.champions("splitting")
    return (
        splits is not None and splits.manifest is not None and inputs.get("champion_splits") == splits.manifest.digest
    )
