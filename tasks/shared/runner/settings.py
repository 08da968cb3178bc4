"""The `runner` section of pipeline.yaml: where the parts of a stage are computed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.shared.section import Section


class RunnerSettings(Section):
    """Where the parts of a stage are computed. No result depends on it."""

    kind: Literal["local", "processes", "dask"] = Field(
        "processes",
        description="local: in the run's own process, one after the other; processes: in worker processes; dask: on "
        "the workers of a Dask cluster, which see the data folder at the same path.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Worker processes, of one thread each; null: one per core that this process may use.",
    )
    address: str | None = Field(
        None,
        description="Dask's scheduler, tcp://HOST:PORT or tls://HOST:PORT; null: a cluster on this machine for each "
        "run.",
    )
