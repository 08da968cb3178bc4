"""What Prefect's server knows of a run: the graph of its tasks, their names, states and tags."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from conftest import Pipeline

INPUTS = {
    "extract": set(),
    "clean": {"extract"},
    "split": {"clean"},
    "learn vocabulary": {"clean", "split"},
    "tokenize": {"clean", "split", "learn vocabulary"},
    "fit linear": {"clean", "split"},
    "train": {"clean", "split", "tokenize", "learn vocabulary"},
    "stack": {"fit linear", "train"},
    "evaluate": {"clean", "split", "fit linear", "train", "stack"},
}
"""The tasks that each task depends on."""


def post(pipeline: Pipeline, path: str, **body: Any) -> Any:
    url = f"{pipeline.environment['PREFECT_API_URL']}/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def task_runs(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The task runs of the newest flow run."""
    newest = post(pipeline, "flow_runs/filter", sort="START_TIME_DESC", limit=1)[0]["id"]
    return post(pipeline, "task_runs/filter", flow_runs={"id": {"any_": [newest]}})


def inputs(runs: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The names of the tasks that each task depends on, by its name."""
    names = {run["id"]: run["name"] for run in runs}
    return {
        run["name"]: {names[given["id"]] for found in run["task_inputs"].values() for given in found} for run in runs
    }


@pytest.mark.parametrize("cached", [False, True], ids=["cold", "cached"])
def test_the_graph_is_the_pipelines_own(pipeline: Pipeline, cached: bool):
    for _ in range(1 + cached):
        pipeline.statuses()
    runs = task_runs(pipeline)
    found = inputs(runs)
    assert {name: found[name] for name in INPUTS} == INPUTS
    assert [found[f"check {stage}"] for stage in ("extraction", "training")] == [{"extract"}, {"train"}]
    assert {run["state_name"] for run in runs if run["name"] in INPUTS} == {"Cached" if cached else "Completed"}
    assert [run["name"] for run in runs if "gpu" in run["tags"]] == ["train"]
