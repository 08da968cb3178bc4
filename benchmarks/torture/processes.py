"""Processes of the system, as the trials and the tests see them: whose children they are, whether they have ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def descendants(pid: int) -> list[int]:
    """The process ids of a process's descendants."""
    pairs = _processes("ppid")
    found: list[int] = []
    generation = {pid}
    while generation:
        generation = {child for child, parent in pairs if parent in generation}
        found += generation
    return found


def in_session(number: int) -> list[int]:
    """The processes of a session."""
    return [pid for pid, session in _processes("sid") if session == number]


def gone(pid: int) -> bool:
    """Whether a process has ended, though its parent may not have asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def kill(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Sends a signal to each process that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_until(ask: Callable[[], T | None], seconds: float = 150) -> T:
    """What `ask` returns once it is true; raises TimeoutError if it is not within `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := ask():
            return answer
        time.sleep(0.3)
    raise TimeoutError(f"{getattr(ask, '__qualname__', ask)}: not within {seconds:.0f} s")


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes(column: str) -> list[tuple[int, int]]:
    """Each process with one of its numbers."""
    listing = subprocess.run(["ps", "-A", "-o", f"pid=,{column}="], capture_output=True, text=True, check=True).stdout
    return [(int(pid), int(number)) for pid, number in map(str.split, listing.splitlines())]
