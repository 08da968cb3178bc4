"""A copy of the project that `corpusflow serve` serves: Prefect's server, the deployments and a worker."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from benchmarks.torture.api import Api
from benchmarks.torture.lab import Lab
from benchmarks.torture.processes import descendants, free_port, kill, wait_until
from tasks.shared.store.fingerprint import PROJECT

DEPLOYMENT = "retrain/own-texts"
HEARTBEATS = 45
"""Seconds without a heartbeat after which a run counts as crashed: one heartbeat and a half."""


class Served(Api):
    """A copy of the project, served by `corpusflow serve`."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.root, self.data, self.port = folder, folder / "data", free_port()
        copy_project(folder)
        crashed = folder / "automations/crashed.yaml"
        crashed.write_text(crashed.read_text().replace("within: 90 ", f"within: {HEARTBEATS} "))
        lab.reference_run().texts_to(folder)
        settings = yaml.safe_load((folder / "pipeline.yaml").read_text())
        settings |= {"data": "../data", "extraction": {"source": "folder", "folder": {"path": "../texts"}}}
        (folder / "examples/own-texts.yaml").write_text(yaml.safe_dump(settings))
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1"}
        own = {"PYTHONPATH": str(folder), "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5"}
        self._environment = {**lab.base_environment, **quick, **own}
        del self._environment["PREFECT_HOME"]
        self.process: subprocess.Popen[bytes] | None = None
        lab.stop_later(self.stop)

    def start(self) -> None:
        command = [sys.executable, "-m", "flows.cli", "serve", "--port", str(self.port)]
        where: Any = {"cwd": self.root, "env": self._environment, "start_new_session": True}
        with (self.root / "out").open("wb") as out, (self.root / "err").open("wb") as err:
            self.process = subprocess.Popen(command, **where, stdout=out, stderr=err)
        wait_until(lambda: self.out or (self.process and self.process.poll() is not None), 300)
        if not self.out:
            raise RuntimeError(self.err)

    @property
    def out(self) -> str:
        return (self.root / "out").read_text()

    @property
    def err(self) -> str:
        return (self.root / "err").read_text()

    @property
    def family(self) -> dict[int, str]:
        """The command line of each process that belongs to `serve`."""
        assert self.process
        found = {}
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            with suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        return found

    def deployment(self) -> str:
        return str(self.ask(f"/deployments/name/{DEPLOYMENT}")["id"])

    def run(self, **parameters: Any) -> str:
        """Starts a run; its id."""
        made = self.ask(f"/deployments/{self.deployment()}/create_flow_run", {"parameters": parameters})
        return str(made["id"])

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            family = list(self.family)
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            kill(family)


def copy_project(folder: Path) -> None:
    """The project's files that are deployed, as in a clone; `examples/` is empty."""
    for name in ("flows", "tasks", "automations"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(PROJECT / name, folder)
    (folder / "examples").mkdir()
