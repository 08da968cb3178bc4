"""Prefect's records of earlier runs: result records on disk, and flow runs on its server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from flows.pipeline.stages import STAGES
from tasks.shared.errors import ArtifactError
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Store, read_manifest

FLOWS = ("retrain", "predict", "crossvalidate", "fold", "maintenance")
BATCH_SIZE = 200


def delete_results(store: Store, limits: Mapping[str, Section], before: datetime) -> int:
    """Deletes old result records of stages and checks that no artifact needs; returns how many.

    Deleting one too early only costs time: an intact artifact is found without it.
    """
    storage = Path(get_current_settings().results.local_storage_path)
    needed = set(_needed(store, limits))
    names = tuple(f"{prefix}{stage}-" for stage in STAGES for prefix in ("", "check-"))
    unneeded = [
        path
        for path in (storage.iterdir() if storage.is_dir() else ())
        if path.name.startswith(names)
        and path.name not in needed
        and datetime.fromtimestamp(path.stat().st_mtime, UTC) < before
    ]
    for path in unneeded:
        path.unlink(missing_ok=True)
    return len(unneeded)


def _needed(store: Store, limits: Mapping[str, Section]) -> Iterator[str]:
    for stage in STAGES.values():
        for path in store.all(stage.folder):
            try:
                artifact = read_manifest(path)
            except ArtifactError:
                continue
            yield f"{stage.name}-{artifact.fingerprint}"
            yield f"check-{stage.name}-{stage.check_key(artifact, limits[stage.name])}"


def delete_flow_runs(before: datetime) -> int:
    """Deletes this project's flow runs that ended before `before`, and their logs, from Prefect's server."""
    count = 0
    flows = FlowFilter.model_validate({"name": {"any_": list(FLOWS)}})
    old = FlowRunFilter.model_validate(
        {"state": {"type": {"any_": sorted(s.value for s in TERMINAL_STATES)}}, "end_time": {"before_": before}}
    )
    with get_client(sync_client=True) as client:
        while runs := client.read_flow_runs(
            flow_filter=flows, flow_run_filter=old, limit=BATCH_SIZE, sort=FlowRunSort.END_TIME_DESC
        ):
            for run in runs:
                try:
                    client.delete_flow_run(run.id)
                    count += 1
                except ObjectNotFound:  # another maintenance run has deleted it
                    continue
    return count
