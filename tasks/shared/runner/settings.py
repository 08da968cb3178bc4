"""The `runner` section of pipeline.yaml: where the parts of a stage are computed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.shared.section import Section


class RunnerSettings(Section):
    """Where the parts of a stage are computed. No result depends on it."""

    kind: Literal["local", "processes"] = Field(
        "processes",
        description="local: in the run's own process, one after the other; processes: in worker processes.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Worker processes, of one thread each; null: one per core that this process may use.",
    )
