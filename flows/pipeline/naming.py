"""What runs are called in Prefect's UI, and what stands there after a failure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext

from flows.pipeline.settings import load_settings
from tasks.shared.errors import CorpusflowError
from tasks.shared.progress import logger
from tasks.shared.ui.publish import publish_failure


def run_name() -> str:
    """`retrain-brown-2026-11-22`: the flow, the pipeline's name, the day."""
    context = FlowRunContext.get()
    if context is None or context.flow is None:
        raise RuntimeError("a run is named inside of it")
    return f"{context.flow.name}-{pipeline_name(context.parameters)}-{datetime.now().astimezone():%Y-%m-%d}"


def pipeline_name(parameters: Mapping[str, Any] | None) -> str:
    """The name in the settings that a flow was given; `unknown` where they cannot be read."""
    given = parameters or {}
    try:
        return load_settings(Path(given.get("config", "pipeline.yaml")), given.get("overrides")).name
    except CorpusflowError:
        return "unknown"


def explain_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook of a flow: publishes what went wrong, where, and what to do next."""
    error = state.result(raise_on_failure=False)
    if not isinstance(error, BaseException):
        error = RuntimeError(state.message or "failed")
    pipeline = pipeline_name(flow_run.parameters)
    publish_failure(pipeline, flow.name, error, flow_run.id)
    logger("flow").info("%s: what to do next stands in the artifact %s-failure", flow.name, pipeline)
