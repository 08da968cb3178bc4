"""A Prefect server for the trials."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.torture.processes import free_port


class Server:
    """A Prefect server with a home of its own; on the loopback alone."""

    def __init__(self, home: Path, environment: Mapping[str, str], port: int | None = None) -> None:
        self.home, self.port = home, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._environment = {**environment, "PREFECT_HOME": str(home), "PREFECT_API_LOG_RETRYABLE_ERRORS": "true"}
        self._environment.pop("PREFECT_API_URL", None)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.home.mkdir(exist_ok=True)
        command = [*("-m", "prefect", "server", "start"), "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "server.log").open("ab") as log:
            where: dict[str, Any] = {"stdout": log, "stderr": log, "start_new_session": True}
            self.process = subprocess.Popen([sys.executable, *command], env=self._environment, **where)
        until = time.monotonic() + 300
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5):  # noqa: S310
                return
            time.sleep(0.2)
        raise RuntimeError((self.home / "server.log").read_text())

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
