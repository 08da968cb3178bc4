"""Throws away what is no longer needed: old artifacts, Prefect's result records, old flow runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.ops.housekeeping import prune_quarantine, prune_store
from flows.ops.prefect_records import forget_flow_runs, forget_results
from flows.pipeline.naming import explain_failure, run_name
from flows.pipeline.parameters import Config
from flows.pipeline.runs import open_pipeline
from tasks.shared.progress import logger


@flow(name="maintenance", flow_run_name=run_name, on_failure=[explain_failure], persist_result=False)
def maintenance(
    keep: Annotated[int, Field(ge=1)] = 5,
    champions: Annotated[int, Field(ge=0)] = 3,
    days: Annotated[int, Field(ge=1)] = 30,
    config: Config = "pipeline.yaml",
) -> dict[str, Any]:
    """Prunes the data folder and what Prefect remembers. The champion and what runs need always stay.

    Args:
        keep: How many artifacts of each stage to keep.
        champions: How many former champions to keep, with all that they were made from.
        days: Quarantined artifacts, Prefect's result records and finished flow runs that are older go.
        config: The settings file, from the project's folder.
    """
    settings, store = open_pipeline(config)
    before = datetime.now(UTC) - timedelta(days=days)
    removed = [*prune_store(store, keep, champions=champions), *prune_quarantine(store, before)]
    found = {
        "artifacts": len(removed),
        "bytes": sum(entry["bytes"] for entry in removed),
        "results": forget_results(store, settings.limits, before),
        "flow_runs": forget_flow_runs(before),
    }
    logger("maintenance").info(
        "maintenance: removed %(artifacts)d artifacts (%(bytes)d bytes), %(results)d result records, "
        "%(flow_runs)d flow runs",
        found,
    )
    return found
