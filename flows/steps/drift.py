"""Compares today's texts with the champion's, and emits a Prefect event if they have drifted too far."""

from __future__ import annotations

from typing import Any

from prefect.events import emit_event

from flows.steps.promotion import ancestor
from tasks.cleaning.task import clean
from tasks.drift.schema import FIGURES
from tasks.drift.task import compare
from tasks.shared.engine.run import Run
from tasks.shared.errors import ArtifactError, CheckFailed
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Artifact, read_manifest
from tasks.shared.store.champion import MODELS, read_champion
from tasks.splitting.task import split
from tasks.vocabulary.task import learn_vocabulary

WARNED, STOPPED = "corpusflow.drift.warned", "corpusflow.drift.stopped"
REFERENCE = {
    "champion_cleaned": clean,
    "champion_splits": split,
    "champion_vocabulary": learn_vocabulary,
}


def watch_drift(run: Run, *, cleaned: Artifact) -> None:
    """Measures the drift if there is a champion and it was trained on other texts than today's.

    Emits an event if a limit is exceeded; raises CheckFailed if the settings say that this stops the run.
    """
    reference = _reference(run)
    if reference is None or reference["champion_cleaned"].digest == cleaned.digest:
        return
    before = len(run.record.stages)
    try:
        drift = run(compare, cleaned=cleaned, **reference)
    except CheckFailed as error:
        _emit(run, STOPPED, str(error), {})
        raise
    exceeded = exceeded_limits(drift.summary, run.limits["drift"].model_dump(), drift.rows)
    if exceeded and run.record.stages[before].status == "built":  # once, not in every run
        _emit(run, WARNED, "; ".join(exceeded), {name: drift.summary[name] for name in FIGURES})


def exceeded_limits(figures: dict[str, Any], limits: dict[str, Any], documents: int) -> list[str]:
    """A phrase for each limit that a figure exceeds."""
    if limits["beyond"] == "ignore" or documents < limits["min_documents"]:
        return []
    return [
        f"{title} moved by {figures[name]:.3f}, the limit is {limits[f'max_{name}']:g}"
        for name, title in FIGURES.items()
        if figures[name] > limits[f"max_{name}"]
    ]


def _reference(run: Run) -> dict[str, Artifact] | None:
    """The artifacts that the champion was trained on; None if there is no champion or they are gone."""
    try:
        champion = read_champion(run.store)
        if champion is None:
            return None
        model = read_manifest(run.store.place(MODELS, champion.current.model))
        return {name: ancestor(run.store, model, stage) for name, stage in REFERENCE.items()}
    except ArtifactError as error:
        logger("drift").warning("drift: not compared with the champion's texts: %s", error)
        return None


def _emit(run: Run, event: str, message: str, figures: dict[str, Any]) -> None:
    name = run.record.settings["name"]
    resource = {"prefect.resource.id": f"corpusflow.pipeline.{name}", "prefect.resource.name": name}
    emit_event(event=event, resource=resource, payload={"message": message, "run": run.record.id, "figures": figures})
