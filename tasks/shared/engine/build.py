"""Builds and checks one artifact. Does not import Prefect, so it runs in any process."""

from __future__ import annotations

import importlib
import inspect
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.shared.checks.report import CheckReport
from tasks.shared.checks.words import sentence
from tasks.shared.engine.continuation import PREVIOUS
from tasks.shared.engine.stage import Stage
from tasks.shared.errors import ArtifactError, CheckFailed, CorpusError, lacks_memory
from tasks.shared.files import write_text
from tasks.shared.parts.kept import KeptParts
from tasks.shared.progress import logger
from tasks.shared.runner.calls import IN_PROCESS
from tasks.shared.runner.cores import BLAS, reserve_blas
from tasks.shared.section import Section
from tasks.shared.store.artifacts import (
    MANIFEST,
    Artifact,
    Store,
    content_digest,
    describe,
    find_damage,
    now,
    read_manifest,
)
from tasks.shared.store.fingerprint import Recipe, digest_of
from tasks.shared.store.scratch import open_scratch, remove_scratch

JUDGED = "judged"
"""The input of a stage that is left out because of what an earlier run found."""


@dataclass(frozen=True)
class Build:
    """One stage in one run: its settings, recipe and inputs, and the existing artifact if there is one."""

    stage: Stage
    store: Store
    settings: Section
    limits: Section
    recipe: Recipe
    inputs: Mapping[str, Artifact]
    pipeline: str | None = None
    """The name that its pages are published under; None publishes nothing."""
    executor: Executor = IN_PROCESS
    """What the stage computes its parts on."""
    site: str | None = None
    """The address of the site where it is served, to which its pages link."""
    existing: Artifact | None = None
    """The artifact, if the store has it undamaged."""
    reasons: list[str] = field(default_factory=list)
    """Why it must be built: the ingredients that changed."""

    @property
    def staging(self) -> Path:
        """Where the artifact is written and checked."""
        return self.store.staging(self.stage.folder, self.recipe.fingerprint)

    @property
    def place(self) -> Path:
        """The artifact's folder once it is committed."""
        return self.store.place(self.stage.folder, self.recipe.fingerprint)

    @property
    def input_paths(self) -> dict[str, Path]:
        """The folder of each input, by its name."""
        return {name: self.store.locate(artifact) for name, artifact in self.inputs.items()}


def build_artifact(build: Build) -> Artifact:
    """The artifact, in staging: left complete by a run that ended while this one waited for its lock, or made now."""
    for place in (build.staging, *build.store.abandoned(build.stage.folder, build.recipe.fingerprint)):
        if (finished := _finished(build, place)) is not None:
            return finished
    try:
        return _build(build)
    except BaseException as error:  # an interruption too: nothing without a manifest stays
        shutil.rmtree(build.staging, ignore_errors=True)
        if not build.stage.resumes_from:
            remove_scratch(build.place.parent, build.recipe.fingerprint)
        if isinstance(error, OSError) and not lacks_memory(error):
            where = error.filename or build.staging
            raise ArtifactError(f"{where}: {build.stage.name} cannot go on: {error.strerror or error}") from error
        raise


def _finished(build: Build, place: Path) -> Artifact | None:
    """The artifact that an interrupted run left whole in `place`, now in staging; anything else there is removed."""
    if place != build.staging:
        try:
            place.rename(build.staging)
        except OSError:  # another process took it
            return None
    if (build.staging / MANIFEST).exists() and find_damage(build.staging) is None:
        return read_manifest(build.staging)
    shutil.rmtree(build.staging, ignore_errors=True)
    return None


def _build(build: Build) -> Artifact:
    """Runs the stage's function on an empty folder, and writes the manifest."""
    started = time.monotonic()
    given: dict[str, Any] = dict(build.input_paths)
    build.staging.mkdir(parents=True)
    parameters = inspect.signature(build.stage.function).parameters
    if "scratch" in parameters:
        given["scratch"] = open_scratch(build.place.parent, build.recipe.fingerprint, build.stage.resumes_from)
    if "executor" in parameters:
        given["executor"] = build.executor
    reserve_blas(build.stage.libraries)
    kept = KeptParts(build.store.kept_parts(build.stage.name), _made_of(build.recipe))
    if "kept" in parameters:
        given["kept"] = kept
    summary = dict(build.stage.function(build.settings, build.staging, **given)) | kept.summary()
    _require_source_at_rest(build)
    files = describe(build.staging)
    artifact = Artifact(
        stage=build.stage.name,
        folder=build.stage.folder,
        fingerprint=build.recipe.fingerprint,
        digest=content_digest(files, build.stage.volatile),
        rows=summary.pop("rows"),
        bytes=sum(file.bytes for file in files.values()),
        seconds=round(time.monotonic() - started, 3),
        created=now(),
        summary=summary,
        recipe=build.recipe,
        lineage=_lineage(build),
        files=files,
    )
    build.store.seal(build.staging, artifact)
    return artifact


def _made_of(recipe: Recipe) -> dict[str, Any]:
    """What shapes every part of a stage, whatever its settings and its input."""
    return {"code": digest_of(recipe.code), "libraries": recipe.libraries}


def _require_source_at_rest(build: Build) -> None:
    """Raises CorpusError if what the stage read outside the data folder is no longer what the recipe says.

    The artifact would otherwise stand for contents that it was not, or not only, made from.
    """
    known = build.store.known_files(f"sources-{build.stage.name}")
    if (digests := build.stage.external_digests) and digests(build.settings, known) != build.recipe.sources:
        raise CorpusError(f"the source of {build.stage.name} changed while it was read; run again when it is at rest")


def _lineage(build: Build) -> dict[str, Any]:
    before: dict[str, Any] = {}
    for name, artifact in build.inputs.items():
        if name not in {PREVIOUS, JUDGED} and not name.startswith("champion"):  # these come from other runs
            before |= artifact.lineage
    return before | {build.stage.name: {"fingerprint": build.recipe.fingerprint, "settings": build.recipe.settings}}


def kept_report(build: Build, artifact: Artifact) -> CheckReport | None:
    """The report of an earlier check that still holds: same artifact, limits, contract and libraries."""
    path = build.store.check_results(build.stage.name, artifact.fingerprint)
    try:
        report = CheckReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return report if report.key == build.stage.check_key(artifact, build.limits) else None


def check_artifact(build: Build, artifact: Artifact) -> CheckReport:
    """Runs the stage's contract on an artifact, and keeps the report under `checks/`."""
    reserve_blas(BLAS)
    from tasks.shared.checks.runner import run_contract  # imports Great Expectations, with scipy, which takes seconds

    results = build.store.check_results(build.stage.name, artifact.fingerprint)
    contract = importlib.import_module(build.stage.contract)
    folder = build.store.locate(artifact)
    outcomes = run_contract(contract, folder, build.input_paths, build.settings, build.limits)
    report = CheckReport(key=build.stage.check_key(artifact, build.limits), results=outcomes)
    write_text(results, report.model_dump_json(indent=1) + "\n")
    for warning in report.warnings:
        logger(build.stage.name).warning("%s: %s", build.stage.name, sentence(warning, build.stage.name))
    return report


def reject(build: Build, artifact: Artifact, report: CheckReport) -> CheckFailed:
    """Moves an artifact that failed its check into quarantine; returns the error that stops the run."""
    failures = report.failures
    why = {
        "stage": build.stage.name,
        "fingerprint": artifact.fingerprint,
        "failures": [failure.model_dump(mode="json") for failure in failures],
    }
    where = build.store.quarantine(build.store.locate(artifact), why)
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    first = sentence(failures[0], build.stage.name)
    return CheckFailed(f"check of {build.stage.name} failed: {first}{more}; see {where / 'quarantine.json'}", where)
