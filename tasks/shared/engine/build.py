"""Makes and judges one artifact; knows nothing of Prefect, so that it runs in any process."""

from __future__ import annotations

import importlib
import inspect
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.shared.checks.report import CheckReport
from tasks.shared.engine.continuation import PREVIOUS
from tasks.shared.engine.stage import Stage
from tasks.shared.errors import ArtifactError, CheckFailed
from tasks.shared.files import write_text
from tasks.shared.progress import logger
from tasks.shared.section import Section
from tasks.shared.store.artifacts import MANIFEST, Artifact, Store, content_digest, damage, describe, now, read_manifest
from tasks.shared.store.fingerprint import Recipe


@dataclass(frozen=True)
class Job:
    """What a stage shall make, from what, where."""

    stage: Stage
    store: Store
    settings: Section
    limits: Section
    recipe: Recipe

    @property
    def staging(self) -> Path:
        """Where the artifact is written and checked."""
        return self.store.staging(self.stage.folder, self.recipe.fingerprint)

    @property
    def place(self) -> Path:
        """Where the artifact lies once it is committed."""
        return self.store.place(self.stage.folder, self.recipe.fingerprint)

    @property
    def scratch(self) -> Path:
        """What outlives an interrupted build."""
        return self.store.scratch(self.stage.folder, self.recipe.fingerprint)


def build(job: Job, inputs: Mapping[str, Artifact]) -> Artifact:
    """Finds the artifact (committed, or complete in staging after an interruption), or makes it in staging."""
    for place in (job.place, job.staging):
        if (place / MANIFEST).exists() and damage(place) is None:
            return read_manifest(place)
    shutil.rmtree(job.staging, ignore_errors=True)
    started = time.monotonic()
    summary = _fill(job, inputs)
    files = describe(job.staging)
    artifact = Artifact(
        stage=job.stage.name,
        folder=job.stage.folder,
        fingerprint=job.recipe.fingerprint,
        digest=content_digest(files, job.stage.volatile),
        rows=summary.pop("rows"),
        bytes=sum(file.bytes for file in files.values()),
        seconds=round(time.monotonic() - started, 3),
        created=now(),
        summary=summary,
        recipe=job.recipe,
        lineage=_lineage(job, inputs),
        files=files,
    )
    job.store.seal(job.staging, artifact)
    return artifact


def _fill(job: Job, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Runs the stage's function on an empty folder; nothing half-written stays when it fails."""
    paths = {name: job.store.locate(artifact) for name, artifact in inputs.items()}
    try:
        job.staging.mkdir(parents=True)
        if "scratch" in inspect.signature(job.stage.function).parameters:
            job.scratch.mkdir(exist_ok=True)
            paths["scratch"] = job.scratch
        return dict(job.stage.function(job.settings, job.staging, **paths))
    except BaseException as error:
        shutil.rmtree(job.staging, ignore_errors=True)
        if isinstance(error, OSError):
            where = error.filename or job.staging
            raise ArtifactError(f"{where}: {job.stage.name} cannot go on: {error.strerror or error}") from error
        raise


def _lineage(job: Job, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    before: dict[str, Any] = {}
    for name, artifact in inputs.items():
        if name != PREVIOUS and not name.startswith("champion"):  # made from yesterday's inputs, not from these
            before |= artifact.lineage
    return before | {job.stage.name: {"fingerprint": job.recipe.fingerprint, "settings": job.recipe.settings}}


def check(job: Job, artifact: Artifact, inputs: Mapping[str, Artifact]) -> CheckReport:
    """Judges an artifact. Raises CheckFailed, with the artifact in quarantine, when it must not go on."""
    from tasks.shared.checks.runner import run_contract  # imports Great Expectations, which takes seconds

    log, results = logger(job.stage.name), job.store.check_results(job.stage.name, artifact.fingerprint)
    report = run_contract(
        importlib.import_module(job.stage.contract),
        job.store.locate(artifact),
        {name: job.store.locate(given) for name, given in inputs.items()},
        job.settings,
        job.limits,
        results.with_suffix(""),
    )
    write_text(results, report.model_dump_json(indent=1) + "\n")
    for warning in report.warnings:
        log.warning("%s: %s", job.stage.name, warning.sentence())
    if report.failures:
        raise _rejection(job, artifact, report)
    log.info("%s: %d expectations hold", job.stage.name, len(report.results))
    return report


def _rejection(job: Job, artifact: Artifact, report: CheckReport) -> CheckFailed:
    """Moves what failed its check into quarantine; returns the error that says so."""
    failures = report.failures
    where = job.store.quarantine(
        job.store.locate(artifact),
        {
            "stage": job.stage.name,
            "fingerprint": artifact.fingerprint,
            "failures": [failure.model_dump(mode="json") for failure in failures],
        },
    )
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return CheckFailed(
        f"check of {job.stage.name} failed: {failures[0].sentence()}{more}; look at {where / 'quarantine.json'}",
        where,
    )
