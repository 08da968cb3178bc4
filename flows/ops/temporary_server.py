"""Prefect's server for the duration of one command, when `PREFECT_API_URL` names none.

Prefect would start one itself, in the command's own process group: Ctrl-C in a terminal would stop it before the run
could report its state, a killed command would leave it running, and one that cannot start would be started again and
again for three minutes. This one (`python -m flows.ops.temporary_server`) has a session of its own, and ends when its
standard input closes, that is, with the command.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flows.ops.ending import Terminated
from tasks.shared.child_process import Child, child_process, close_input, end_with_parent
from tasks.shared.errors import RunError, one_line
from tasks.shared.progress import logger

READY = "listening on port "
START_SECONDS = 180
"""The first start creates the database, which is slow on a slow disk."""
SECONDS_BETWEEN_LINES, SECONDS_TO_STOP, LINES_KEPT = 10, 5, 200
SECONDS_LOCKED = 10
"""How long another process may keep the database locked; writing takes less."""
ELSEWHERE = "or set PREFECT_HOME to another folder"
REASONS = (
    (
        r"Can't locate revision",
        "{database} was written by another version of Prefect: move it away (it holds the history of Prefect's runs; "
        "artifacts, models and the champion are elsewhere), " + ELSEWHERE,
    ),
    (
        r"not a database|malformed|file is encrypted|unsupported file format",
        "{database} is damaged: move it away (it holds the history of Prefect's runs; artifacts, models and the "
        "champion are elsewhere), " + ELSEWHERE,
    ),
    (r"disk is full|No space left|quota exceeded", "the disk of {database} is full: make room, " + ELSEWHERE),
    (
        r"readonly database|Read-only file system|unable to open database|Permission denied|disk I/O error",
        "{database} cannot be written ({found}): give yourself the right to, " + ELSEWHERE,
    ),
    (r"database is locked", "another process keeps {database} locked: end it, " + ELSEWHERE),
)
"""What the server's output says, and what to do about it."""


@dataclass
class TemporaryServer:
    """The server as the command sees it: the process, and the last lines that it wrote."""

    process: Child
    output: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    _port: queue.Queue[int | None] = field(default_factory=queue.Queue)

    def read_output(self) -> None:
        """Reads what the server writes until it ends, so that it never waits for a reader."""
        with suppress(ValueError):  # closed
            for line in self.process.stdout or ():
                if line.startswith(READY):
                    self._port.put(int(line.removeprefix(READY)))
                else:
                    self.output.append(line)
        self._port.put(None)

    def wait_for_url(self) -> str:
        """The address of the server's API, once it answers; raises RunError if it does not start."""
        started = time.monotonic()
        while time.monotonic() - started < START_SECONDS:
            try:
                port = self._port.get(timeout=SECONDS_BETWEEN_LINES)
            except queue.Empty:
                seconds = time.monotonic() - started
                logger("server").info("Prefect's temporary server is starting, for %.0f s so far", seconds)
                continue
            if port is not None:
                return f"http://127.0.0.1:{port}/api"
            raise RunError(f"Prefect's temporary server cannot start: {self.reason()}")
        raise RunError(f"Prefect's temporary server did not start within {START_SECONDS} s: {self.reason()}")

    def reason(self) -> str:
        """Why the server failed, as far as its output says, and what to do."""
        if advice := self._advice():
            return advice
        last = next((line for line in reversed(self.output) if line.strip()), "it says nothing about why")
        return f"{one_line(last)}; start a server yourself (`prefect server start`) to see more, {ELSEWHERE}"

    def reason_of_loss(self) -> str:
        """Why a server that was up answers no longer."""
        code = self.process.poll()
        ended = "it still runs" if code is None else f"it ended with code {code}"
        killed = f"it was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else ended
        return self._advice() or killed

    def _advice(self) -> str:
        text = "".join(self.output)
        for pattern, advice in REASONS:
            if found := re.search(pattern, text, re.IGNORECASE):
                return advice.format(database=database(), found=found[0])
        return ""


@contextmanager
def temporary_server() -> Iterator[TemporaryServer]:
    """Starts the server; it is up once `wait_for_url` returns, and ends with the block."""
    require_unlocked()
    environment = os.environ | {"PREFECT_SERVER_UI_ENABLED": "false"}
    with child_process("flows.ops.temporary_server", environment=environment) as process:
        server = TemporaryServer(process)
        threading.Thread(target=server.read_output, daemon=True).start()
        try:
            yield server
        except (KeyboardInterrupt, Terminated):
            process.kill()  # nothing to wait for: SQLite keeps what was committed
            raise
        finally:
            close_input(process)


def require_unlocked() -> None:
    """Raises RunError if another process keeps the database locked; the server would wait for it for a minute."""
    path = Path(database())
    if not path.is_file():
        return
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(path, SECONDS_LOCKED, isolation_level=None)) as opened,
    ):
        try:
            opened.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                advice = f"another process keeps {path} locked: end it, {ELSEWHERE}"
                raise RunError(f"Prefect's temporary server cannot start: {advice}") from None


def database() -> str:
    """Where Prefect's server keeps its records: a file, or an address without its password."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
    from sqlalchemy import make_url

    url = make_url(PREFECT_API_DATABASE_CONNECTION_URL.value())
    is_file = url.get_backend_name() == "sqlite" and url.database
    return str(url.database) if is_file else url.render_as_string(hide_password=True)


def main() -> None:
    """Serves on a free port of the loopback interface, and prints the port once the server answers."""
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    end_with_parent(code=0, grace=SECONDS_TO_STOP)
    import uvicorn
    from prefect.server.api.server import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and sockets:
                sys.stdout.write(f"{READY}{sockets[0].getsockname()[1]}\n")
                sys.stdout.flush()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = create_app(ephemeral=True, final=True)
        Server(uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)).run([listener])


if __name__ == "__main__":
    main()
