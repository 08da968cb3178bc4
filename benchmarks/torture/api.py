"""What a Prefect server on a port of this machine says of its runs."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any

from benchmarks.torture.processes import wait_until

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Api:
    """Answers of the server's API."""

    port: int

    @property
    def login(self) -> str:
        """`user:password`, if the server asks for it."""
        return ""

    def ask(self, path: str, body: Any = None) -> Any:
        """The answer to a GET, or to a POST if there is a body."""
        login = base64.b64encode(self.login.encode()).decode()
        headers = {"content-type": "application/json", "authorization": f"Basic {login}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def state(self, run: str) -> dict[str, Any]:
        return dict(self.ask(f"/flow_runs/{run}")["state"])

    def end(self, run: str, seconds: float = 300) -> dict[str, Any]:
        """The state that the run ends in."""
        return wait_until(lambda: state if (state := self.state(run))["type"] in FINAL else None, seconds)
