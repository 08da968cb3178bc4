"""Everything that a deployed pipeline needs, on this machine, to try it: server, work pool, deployments, worker."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from flows.ops.environment import PROJECT
from tasks.shared.errors import RunError, one_line

POOL = "corpusflow"
START_SECONDS, STOP_SECONDS = 180, 30
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent dies."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(port: int, logs: Path) -> None:
    """Runs server and worker until Ctrl-C, or until one of them ends; their output goes to files in `logs`.

    Raises RunError if the port is taken, or if the server or the worker ends.
    """
    _require_free(port)
    address = f"http://127.0.0.1:{port}"
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    logs.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):  # `kill`, and a closed terminal, stop it as Ctrl-C does
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    try:
        with _running("server", logs, "server", "start", "--host", "127.0.0.1", "--port", str(port)) as server:
            _wait_until_healthy(server, address, logs)
            _deploy()
            with _running("worker", logs, "worker", "start", "--pool", POOL) as worker:
                click.echo(f"Prefect's UI: {address}  (logs: {logs}; Ctrl-C stops everything)")
                _wait_for_any(server=server, worker=worker, logs=logs)
    except KeyboardInterrupt:
        with suppress(OSError):  # a terminal that was closed
            click.echo("stopped: worker and server")


def _deploy() -> None:
    if _prefect("work-pool", "inspect", POOL).returncode:
        _require(_prefect("work-pool", "create", POOL, "--type", "process"))
    _require(_prefect("--no-prompt", "deploy", "--all"))
    _require(_python("-m", "flows.cli", "automations"))


def _prefect(*arguments: str) -> subprocess.CompletedProcess[str]:
    return _python("-m", "prefect", *arguments)


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def _require(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        output = one_line((done.stdout + done.stderr)[-500:], 500)
        raise RunError(f"`{' '.join(done.args[2:])}` failed: {output}")


@contextmanager
def _running(name: str, logs: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Prefect process in a session of its own: Ctrl-C reaches only this process, which stops the others in order."""
    with (logs / f"{name}.log").open("ab") as log:
        command = [sys.executable, "-m", "prefect", *arguments]
        where: Any = {"cwd": PROJECT, "stdout": log, "stderr": log, "start_new_session": True}
        process = subprocess.Popen(command, **where, preexec_fn=_ending_with_parent())  # noqa: PLW1509
    try:
        yield process
    finally:
        _stop(process)


def _ending_with_parent() -> Callable[[], object] | None:
    """What a child does first so that it gets SIGTERM if this process is killed; None where the system has no such."""
    if sys.platform != "linux":
        return None
    return partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, int(signal.SIGTERM))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stops a process and its descendants, these first, since a worker waits for its runs however long they take.

    Each gets SIGTERM before SIGKILL: a run has a state to report and files to clean up.
    """
    ignored = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    children = _descendants(process.pid)
    try:
        _signal(children, signal.SIGTERM)
        _wait_for_end(children)
        process.terminate()
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        _signal(children, signal.SIGKILL)
        for number, handler in ignored.items():
            signal.signal(number, handler)


def _wait_for_end(pids: Sequence[int]) -> None:
    until = time.monotonic() + STOP_SECONDS
    while _signal(pids, 0) and time.monotonic() < until:
        time.sleep(0.1)


def _descendants(pid: int) -> list[int]:
    """The process ids of a process's descendants, the youngest generation first."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
    pids: list[int] = []
    generation = {pid}
    while generation:
        generation = {child for child, parent in pairs if parent in generation}
        pids = [*generation, *pids]
    return pids


def _signal(pids: Sequence[int], number: int) -> int:
    """Sends a signal to those that still exist (0 sends none); returns their number."""
    reached = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            reached += 1
    return reached


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"port {port} is taken ({error.strerror})"
            raise RunError(f"{reason}; choose another: corpusflow serve --port 4300") from None


def _wait_until_healthy(server: subprocess.Popen[bytes], address: str, logs: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/health", timeout=5):  # our own  # noqa: S310  # nosec B310
                return
        except OSError:
            time.sleep(0.3)
    raise RunError(f"the server did not start; see {logs / 'server.log'}")


def _wait_for_any(server: subprocess.Popen[bytes], worker: subprocess.Popen[bytes], logs: Path) -> None:
    while True:
        for name, process in {"server": server, "worker": worker}.items():
            if process.poll() is not None:
                raise RunError(f"the {name} ended with code {process.returncode}; see {logs / f'{name}.log'}")
        time.sleep(0.5)
