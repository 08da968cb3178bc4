"""A real Dask scheduler and its workers, each a process with a working folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from runner_calls import importable


class DaskProcesses:
    """Started by `start`; ended by `stop`. `settings` are variables of the environment, Dask's among them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.protocol, self.settings = "tcp", dict[str, str]()
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = ""
        self._started = 0

    def start(self, workers: int = 2) -> str:
        """Starts a scheduler and its workers; returns its address."""
        self._started += 1
        file = self.folder / f"scheduler-{self._started}.json"
        self.scheduler = self._run(
            "scheduler", "--port", "0", "--scheduler-file", str(file), "--protocol", self.protocol
        )
        until = time.monotonic() + 60
        while not file.exists():
            assert self.scheduler.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            self.add_worker()
        return self.address

    def add_worker(self) -> None:
        """Starts one more worker."""
        options = ("--nthreads", "1", "--no-nanny", "--death-timeout", "60")
        self.workers.append(self._run("worker", self.address, *options))

    def stop(self) -> None:
        """Kills all that still runs."""
        for process in [self.scheduler, *self.workers]:
            if process is not None:
                process.kill()
                process.wait(20)
        self.workers.clear()

    def _run(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        own = self.folder / f"{kind}-{self._started}-{len(self.workers)}"
        own.mkdir(parents=True)
        command = [sys.executable, "-m", "dask", kind, "--host", "127.0.0.1", "--no-dashboard", *arguments]
        with (own / "log").open("w") as log:
            return subprocess.Popen(
                command,
                cwd=own,
                env=importable(**self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
