"""Runs stages as cached Prefect tasks, each with its check in one transaction, and keeps the run's record.

This is the only place where stages meet Prefect. The cache key is the artifact's fingerprint, what Prefect keeps is a
small JSON record, and a hit counts only while the artifact's files are what they were.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from filelock import FileLock, Timeout
from prefect import Task
from prefect.transactions import transaction

from tasks.shared.checks.report import CheckReport
from tasks.shared.engine import build as building
from tasks.shared.engine.build import Job
from tasks.shared.engine.continuation import continued
from tasks.shared.engine.stage import Stage
from tasks.shared.errors import ArtifactError, CheckFailed, may_pass
from tasks.shared.files import storage_faults
from tasks.shared.progress import logger
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Artifact, Store, damage
from tasks.shared.store.fingerprint import Recipe
from tasks.shared.store.records import RunRecord, StageRecord, why_built
from tasks.shared.ui.publish import publish_artifact, publish_check, showing_progress

PATIENT: Any = {
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_condition_fn": lambda task, task_run, state: may_pass(state.result(raise_on_failure=False)),
}
"""A task that is tried again, but only after what can pass by itself."""


class Run:
    """One pass through the stages: `run(stage, name=artifact, …)` gives the stage's artifact, reused or built."""

    def __init__(
        self,
        store: Store,
        sections: Mapping[str, Section],
        limits: Mapping[str, Section],
        record: RunRecord,
        latest: bool = True,
    ) -> None:
        self.store, self.record = store, record
        self.sections, self.limits, self._latest = sections, limits, latest
        record.save(store)

    def __call__(self, stage: Stage, **inputs: Artifact) -> Artifact:
        """Builds the stage's artifact, or reuses it; checked either way.

        Raises CheckFailed when the check fails, and whatever the stage raises; nothing is cached then.
        """
        started = time.monotonic()
        self.record.at = stage.name
        name = self.record.settings["name"] if self._latest else None  # a fold is no step of the pipeline's history
        settings = self.sections[stage.name]
        inputs |= continued(self.store, stage, settings, inputs)
        recipe = _recipe(stage, settings, inputs)
        job = Job(stage, self.store, settings, self.limits[stage.name], recipe)
        with _lock(job):
            fault = damage(job.place) if job.place.exists() else None
            reused = job.place.exists() and fault is None
            reasons = [] if reused else self._why_built(stage, recipe, fault)
            if fault is not None:
                where = self.store.quarantine(job.place, {"stage": stage.name, "damage": fault})
                logger(stage.name).warning("%s: damaged, built again (%s); kept in %s", stage.name, fault, where)
            with transaction():
                artifact = _build_task(stage, name, reused, reasons)(job, inputs)
                _check_task(job, name, artifact)(job, artifact, inputs)
                self.store.commit(artifact)
            if self._latest:
                self.store.point_latest(artifact)
            self._remember(job, artifact, "reused" if reused else "built", reasons, time.monotonic() - started)
        return artifact

    def _why_built(self, stage: Stage, recipe: Recipe, fault: str | None) -> list[str]:
        try:
            return why_built(recipe, None if fault else self.store.latest(stage.folder), fault)
        except ArtifactError as error:
            return [f"cannot be compared with the newest one: {error}"]

    def _remember(self, job: Job, artifact: Artifact, status: Any, reasons: list[str], seconds: float) -> None:
        self.record.stages.append(
            StageRecord(
                stage=job.stage.name,
                status=status,
                rows=artifact.rows,
                seconds=round(seconds, 3),
                bytes=artifact.bytes,
                path=str(job.place),
                fingerprint=artifact.fingerprint,
                reasons=reasons,
            )
        )
        self.record.save(self.store)
        because = f" because {'; '.join(reasons[:3])}" if reasons else ""
        logger(job.stage.name).info("%s: %s, %s rows%s", job.stage.name, status, f"{artifact.rows:,}", because)


def _lock(job: Job) -> FileLock:
    """Held while an artifact is made, so that two runs at once do not make the same one."""
    path = job.store.root / ".locks" / f"{job.stage.name}-{job.recipe.fingerprint}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.1)
        lock.release()
    except Timeout:
        logger(job.stage.name).info("%s: another run is making the same artifact; waiting for it", job.stage.name)
    return lock


def _recipe(stage: Stage, settings: Section, inputs: Mapping[str, Artifact]) -> Recipe:
    """The stage's recipe; where what it reads outside must be fetched first and that fails, it is tried again."""
    try:
        return stage.recipe(settings, inputs)
    except Exception as error:
        if not may_pass(error):
            raise
        logger(stage.name).warning("%s: trying again (%s)", stage.name, error)
    fetch = Task(stage.recipe, name=f"fetch for {stage.name}", task_run_name=f"fetch for {stage.name}", **PATIENT)
    return fetch(settings, inputs)


def _build_task(
    stage: Stage, pipeline: str | None, reused: bool, reasons: Sequence[str]
) -> Task[[Job, Mapping[str, Artifact]], Artifact]:
    def build(job: Job, inputs: Mapping[str, Artifact]) -> Artifact:
        with storage_faults(job.store.root):
            with showing_progress(pipeline, stage.name):
                artifact = building.build(job, inputs)
            if not reused:
                publish_artifact(pipeline, job.store, artifact, reasons, stage.show)
            return artifact

    return Task(
        build,
        name=stage.name,
        task_run_name=stage.verb,
        description=stage.function.__doc__,
        cache_key_fn=lambda _, given: f"{stage.name}-{given['job'].recipe.fingerprint}",
        persist_result=True,
        result_serializer="json",
        refresh_cache=not reused,
        **PATIENT,
    )


def _check_task(
    job: Job, pipeline: str | None, artifact: Artifact
) -> Task[[Job, Artifact, Mapping[str, Artifact]], CheckReport]:
    def check(job: Job, artifact: Artifact, inputs: Mapping[str, Artifact]) -> CheckReport:
        with storage_faults(job.store.root):
            try:
                report = building.check(job, artifact, inputs)
            except CheckFailed:
                publish_check(pipeline, job.store, artifact)
                raise
            publish_check(pipeline, job.store, artifact)
            return report

    key = f"check-{job.stage.name}-{job.stage.check_key(artifact, job.limits)}"
    return Task(
        check,
        name=f"check {job.stage.name}",
        description=f"Judges what {job.stage.name} made; nothing after it runs if it must not go on.",
        task_run_name=f"check {job.stage.name}",
        cache_key_fn=lambda *_: key,
        persist_result=True,
        result_serializer="json",
        refresh_cache=not job.store.check_results(job.stage.name, artifact.fingerprint).exists(),
    )
