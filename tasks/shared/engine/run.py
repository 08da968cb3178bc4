"""Runs stages as Prefect tasks, and keeps the run's record.

Each `run(stage, …)` is two Prefect tasks, `build` and `check`, in one transaction: if the check fails, neither is
cached. The store decides whether an artifact is reused; Prefect's cache key is the artifact's fingerprint, so that its
record of the task shows the same.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from filelock import Timeout
from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.states import Completed
from prefect.transactions import transaction
from prefect.utilities.annotations import quote

from tasks.shared.checks.report import CheckReport
from tasks.shared.engine.build import Build, build_artifact, check_artifact, kept_report, reject
from tasks.shared.engine.continuation import continued
from tasks.shared.engine.stage import Stage
from tasks.shared.errors import ArtifactError, is_transient
from tasks.shared.files import explain_storage_errors
from tasks.shared.parts.kept import in_words
from tasks.shared.progress import logger
from tasks.shared.runner.calls import IN_PROCESS
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Artifact, Store, read_manifest
from tasks.shared.store.fingerprint import Recipe
from tasks.shared.store.records import RunRecord, StageRecord, why_built
from tasks.shared.ui.publish import publish_artifact, publish_check, show_progress

GIVEN_BY_THE_ENGINE = {"scratch", "executor", "kept"}
"""Parameters of a stage's function that are no artifacts."""


class ByFingerprint(CachePolicy):
    """The cache key of a stage's task: the fingerprint of its artifact."""

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any
    ) -> str:
        """`<stage>-<fingerprint>`."""
        order: Build = inputs["order"]
        return f"{order.stage.name}-{order.recipe.fingerprint}"


class ByCheckKey(CachePolicy):
    """The cache key of a check's task: artifact, limits, contract and libraries."""

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any
    ) -> str:
        """`check-<stage>-<digest>`."""
        order: Build = inputs["order"]
        return f"check-{order.stage.name}-{order.stage.check_key(inputs['artifact'], order.limits)}"


def failed_transiently(task: Task[..., Any], task_run: object, state: State[Any]) -> bool:
    """Whether the task failed with a transient error: of a download or of the storage."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


@task(retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=failed_transiently, persist_result=False)
def fetch(download: Callable[[], object]) -> None:
    """Downloads what a stage reads and this machine does not have yet."""
    download()


@task(
    cache_policy=ByFingerprint(),
    persist_result=True,
    result_serializer="json",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=failed_transiently,
)
def build(order: Build) -> Artifact:
    """Makes a stage's artifact, unless the store has it."""
    if order.existing is not None:  # Prefect has lost its record
        return order.existing
    with explain_storage_errors(order.store.root, order.stage.name):
        with show_progress(order.pipeline, order.stage.name):
            artifact = build_artifact(order)
        publish_artifact(order.pipeline, order.store, artifact, order.reasons, order.stage.show, order.site)
        return artifact


@task(cache_policy=ByCheckKey(), persist_result=True, result_serializer="json")
def check(order: Build, artifact: Artifact) -> CheckReport:
    """Judges an artifact. Raises CheckFailed, with the artifact in quarantine, if the run must stop."""
    kept = kept_report(order, artifact)
    if kept is not None:
        return kept
    with explain_storage_errors(order.store.root, order.stage.name):
        report = check_artifact(order, artifact)
        publish_check(order.pipeline, order.store, artifact)
        if report.failures:
            raise reject(order, artifact, report)
        logger(order.stage.name).info("%s: %d expectations hold", order.stage.name, len(report.results))
        return report


class Run:
    """One pass through the stages: `run(stage, name=artifact, …)` gives the stage's artifact, reused or built."""

    def __init__(
        self,
        store: Store,
        sections: Mapping[str, Section],
        limits: Mapping[str, Section],
        record: RunRecord,
        latest: bool = True,
        executor: Executor = IN_PROCESS,
    ) -> None:
        self.store, self.record, self.executor = store, record, executor
        self.sections, self.limits, self._latest = sections, limits, latest
        self._upstream: dict[str, State[Any]] = {}
        record.save(store)

    def __call__(self, stage: Stage, **inputs: Artifact) -> Artifact:
        """Builds the stage's artifact, or reuses it; checked either way.

        Raises CheckFailed when the check fails, and whatever the stage raises; nothing is cached then.
        """
        _require_inputs(stage, inputs)
        started = time.monotonic()
        self.record.current_stage = stage.name
        settings = self.sections[stage.name]
        self._fetch_missing(stage, settings)
        inputs |= continued(self.store, stage, settings, inputs)
        known = self.store.known_files(f"sources-{stage.name}")
        recipe = stage.recipe(settings, inputs, known)
        known.save()
        name = self.record.settings["name"] if self._latest else None  # a fold is not part of the pipeline's history
        order = Build(stage, self.store, settings, self.limits[stage.name], recipe, inputs, name, self.executor)
        order = replace(order, site=self.record.settings.get("site_url"))
        with _lock(order):
            order = self._look_up(order)
            if order.existing is None:
                self.record.current_reasons = order.reasons
                self.record.save(self.store)  # for a run that is killed
            with transaction():
                artifact = self._build_and_check(order)
                self.store.commit(artifact)
            if self._latest:
                self.store.point_latest(artifact)
            self._remember(order, artifact, time.monotonic() - started)
        return artifact

    def _fetch_missing(self, stage: Stage, settings: Section) -> None:
        if stage.missing_source is None or stage.missing_source(settings) is None:
            return
        with self.store.lock(f"fetch-{stage.name}"):  # another run may have fetched it meanwhile
            if (download := stage.missing_source(settings)) is not None:
                name = f"fetch for {stage.name}"
                fetch.with_options(name=name, task_run_name=name)(quote(download), return_state=False)

    def _look_up(self, order: Build) -> Build:
        """Decides whether the artifact is reused: if it exists and is intact. A damaged one goes to quarantine."""
        if not order.place.exists():
            return replace(order, reasons=self._why_built(order.stage, order.recipe, None))
        fault = self.store.find_damage(order.place)
        if fault is None:
            return replace(order, existing=read_manifest(order.place))
        where = self.store.quarantine(order.place, {"stage": order.stage.name, "damage": fault})
        logger(order.stage.name).warning(
            "%s: damaged, built again (%s); the damaged one is in %s", order.stage.name, fault, where
        )
        return replace(order, reasons=self._why_built(order.stage, order.recipe, fault))

    def _build_and_check(self, order: Build) -> Artifact:
        """The two tasks, linked in Prefect's graph to the tasks that made the inputs, and to nothing else.

        `quote` keeps Prefect from searching the arguments: it takes any value shared with an earlier result, such as
        the settings in the lineage, for an input.
        """
        stage = order.stage
        upstream = [self._upstream[a.fingerprint] for a in order.inputs.values() if a.fingerprint in self._upstream]
        state = build.with_options(
            name=stage.name,
            task_run_name=stage.display_name,
            description=stage.function.__doc__,
            tags=stage.tags,
            refresh_cache=order.existing is None,
        )(quote(order), wait_for=upstream, return_state=True)
        artifact: Artifact = order.existing or state.result()
        # Without the result: Prefect would treat its fields as inputs, too.
        done: State[bool] = Completed(data=True, state_details=state.state_details)
        self._upstream[artifact.fingerprint] = done
        check.with_options(
            name=f"check {stage.name}",
            task_run_name=f"check {stage.name}",
            description=f"Judges what {stage.name} made; if it fails, nothing after it runs.",
            refresh_cache=kept_report(order, artifact) is None,
        )(quote(order), quote(artifact), wait_for=[done])
        return artifact

    def _why_built(self, stage: Stage, recipe: Recipe, fault: str | None) -> list[str]:
        try:
            return why_built(recipe, None if fault else self.store.latest(stage.folder), fault)
        except ArtifactError as error:
            return [f"cannot be compared with the newest one: {error}"]

    def _remember(self, order: Build, artifact: Artifact, seconds: float) -> None:
        stage, reused = order.stage.name, order.existing is not None
        self.record.current_reasons = []
        self.record.stages.append(
            StageRecord(
                stage=stage,
                status="reused" if reused else "built",
                rows=artifact.rows,
                seconds=round(seconds, 3),
                bytes=artifact.bytes,
                path=str(order.place),
                fingerprint=artifact.fingerprint,
                reasons=order.reasons,
                inputs={name: each.fingerprint for name, each in order.inputs.items()},
                parts="" if reused else in_words(artifact.summary),
            )
        )
        self.record.save(self.store)
        because = f" because {'; '.join(order.reasons[:3])}" if order.reasons else ""
        done = self.record.stages[-1]
        parts = f", {done.parts}" if done.parts else ""
        logger(stage).info("%s: %s, %s rows%s%s", stage, done.status, f"{artifact.rows:,}", parts, because)


def _require_inputs(stage: Stage, inputs: Mapping[str, Artifact]) -> None:
    """Raises TypeError unless the artifacts are those that the stage's function takes."""
    parameters = inspect.signature(stage.function).parameters.values()
    required = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty} - GIVEN_BY_THE_ENGINE
    optional = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - GIVEN_BY_THE_ENGINE
    if not required <= inputs.keys() <= optional:
        raise TypeError(f"{stage.name} takes {sorted(required)}, not {sorted(inputs)}")


def _lock(order: Build) -> Any:
    """Held while an artifact is made, so that two runs at once do not make the same one."""
    lock = order.store.lock(f"{order.stage.name}-{order.recipe.fingerprint}")
    try:
        lock.acquire(timeout=0.1)
        lock.release()
    except Timeout:
        logger(order.stage.name).info("%s: another run is making the same artifact; waiting for it", order.stage.name)
    return lock
