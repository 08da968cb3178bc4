"""Removes what is no longer needed: old artifacts, Prefect's result records, old flow runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.ops.housekeeping import prune_quarantine, prune_store
from flows.ops.prefect_records import delete_flow_runs, delete_results
from flows.pipeline.parameters import Config
from flows.pipeline.runs import explain_failure, open_pipeline, run_name
from flows.pipeline.site import refresh_after
from tasks.shared.progress import logger


@flow(name="maintenance", flow_run_name=run_name, on_failure=[explain_failure], persist_result=False)
def maintenance(
    keep: Annotated[int, Field(ge=1)] = 5,
    champions: Annotated[int, Field(ge=0)] = 3,
    days: Annotated[int, Field(ge=1)] = 30,
    config: Config = "pipeline.yaml",
) -> dict[str, Any]:
    """Prunes the data folder and Prefect's records. The champion and what current runs need are always kept.

    Args:
        keep: How many artifacts of each stage to keep.
        champions: How many former champions to keep, with the artifacts that they were made from.
        days: Age from which quarantined artifacts, Prefect's result records and finished flow runs are removed.
        config: The settings file, relative to the project's folder.
    """
    settings, store = open_pipeline(config)
    before = datetime.now(UTC) - timedelta(days=days)
    removed = [*prune_store(store, keep, champions=champions), *prune_quarantine(store, before)]
    counts = {
        "artifacts": len(removed),
        "bytes": sum(entry["bytes"] for entry in removed),
        "results": delete_results(store, settings.limits, before),
        "flow_runs": delete_flow_runs(before),
    }
    logger("maintenance").info(
        "maintenance: removed %(artifacts)d artifacts (%(bytes)d bytes), %(results)d result records, "
        "%(flow_runs)d flow runs",
        counts,
    )
    refresh_after(settings)
    return counts
