"""A copy of the project, deployed for real: Prefect's server, a work pool and a worker, each a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from conftest import TINY, Result, write_corpus

from benchmarks.torture.api import FINAL, Api
from benchmarks.torture.processes import descendants, free_port, kill, wait_until
from benchmarks.torture.served import copy_project


@dataclass
class Site(Api):
    """The folder of the copy, and the port of its server."""

    root: Path
    port: int = field(default_factory=free_port)
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def login(self) -> str:
        return self.extra.get("PREFECT_API_AUTH_STRING", "")

    @property
    def environment(self) -> dict[str, str]:
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        path = os.pathsep.join(filter(None, [str(self.root), os.environ.get("PYTHONPATH")]))
        own = {"PYTHONPATH": path, "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api"}
        return inherited | quick | own | {"OMP_NUM_THREADS": "1"} | self.extra

    @property
    def data(self) -> Path:
        return self.root / "data"

    def python(self, *arguments: str) -> Result:
        command = [sys.executable, "-m", *arguments]
        where: Any = {"cwd": self.root, "env": self.environment, "text": True, "timeout": 240}
        done = subprocess.run(command, **where, capture_output=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def prefect(self, *arguments: str) -> str:
        done = self.python("prefect", "--no-prompt", *arguments)
        assert done.code == 0, (arguments, done)
        return done.out

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process that runs during the block; it and its descendants are stopped afterwards."""
        with (self.root / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", *arguments]
            where: Any = {"cwd": self.root, "env": self.environment, "stdout": log, "stderr": log}
            process = subprocess.Popen(command, **where, start_new_session=True)
        try:
            yield process
        finally:
            kill([*descendants(process.pid), process.pid], signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            kill([*descendants(process.pid), process.pid], signal.SIGKILL)
            process.wait()

    @contextmanager
    def server(self) -> Iterator[subprocess.Popen[bytes]]:
        place = ("--host", "127.0.0.1", "--port", str(self.port))
        with self.running("server", "prefect", "server", "start", *place) as process:
            wait_until(lambda: self.healthy() or process.poll() is not None)
            assert process.poll() is None, (self.root / "server.log").read_text()
            yield process

    def healthy(self) -> bool:
        with suppress(OSError):
            return bool(self.ask("/health"))
        return False

    def worker(self) -> Any:
        return self.running("worker", "prefect", "worker", "start", "--pool", "corpusflow")

    def deploy(self) -> None:
        self.prefect("work-pool", "create", "corpusflow", "--type", "process")
        self.prefect("deploy", "--all")

    def start(self, deployment: str, **parameters: Any) -> str:
        """Starts a run as a user does; returns its id."""
        out = self.prefect("deployment", "run", deployment, *given(parameters))
        match = re.search(r"UUID: ([0-9a-f-]{36})", out)
        assert match, out
        return match[1]

    def idle(self) -> bool:
        """Whether every run has ended, except those scheduled for later."""
        soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
        for run in self.ask("/flow_runs/filter", {}):
            later = run["state"]["type"] == "SCHEDULED" and run["expected_start_time"] > soon
            if run["state"]["type"] not in FINAL and not later:
                return False
        return True

    def logs(self, run: str) -> str:
        ours = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in self.ask("/logs/filter", ours))

    def records(self) -> list[dict[str, Any]]:
        """The project's own records of its runs, the newest first."""
        paths = sorted((self.data / "runs").glob("*.json"), reverse=True)
        return [json.loads(path.read_text()) for path in paths]


def given(parameters: dict[str, Any]) -> list[str]:
    return [part for name, value in parameters.items() for part in ("--param", f"{name}={json.dumps(value)}")]


def statuses(record: dict[str, Any]) -> set[str]:
    return {stage["status"] for stage in record["stages"]}


def make_site(root: Path, **extra: str) -> Site:
    """The project's files as in a clone, with a small corpus."""
    copy_project(root)
    (root / "data").mkdir()
    write_corpus(root / "texts")
    (root / "pipeline.yaml").write_text(yaml.safe_dump(TINY))
    same = TINY | {"data": "../data", "extraction": {"source": "folder", "folder": {"path": "../texts"}}}
    (root / "examples/own-texts.yaml").write_text(yaml.safe_dump(same))
    return Site(root, extra=extra)
