"""Starts `corpusflow` commands as processes of their own, without waiting for their imports each time.

A process that has imported what a run needs forks for every command: the child sets its folder, its environment and
its limits, and then is the command, with signals, exit code and exit handlers as `python -m flows.cli` has them.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.shared.store.fingerprint import PROJECT

NUMBERS = itertools.count(1)
USED: list[float] = []
"""Processor seconds of each command that has ended."""
SECONDS = 300
"""A command that takes longer hangs; with eight others on two cores it may take a minute."""


@dataclass
class Done:
    """How a command ended: exit code (negative: by that signal), output, seconds from start to end."""

    code: int
    out: str
    err: str
    seconds: float
    processor_seconds: float = 0.0

    @property
    def message(self) -> str:
        """The last line on standard error."""
        return (self.err.strip().splitlines() or [""])[-1]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Command:
    """A command that was started, in a session and a process group of its own."""

    pid: int
    files: Path
    started: float

    def signal(self, number: int, group: bool = False) -> None:
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def wait(self, seconds: float = SECONDS) -> Done:
        """Its end; a command that hangs is killed, and its code is then 124."""
        ended = self.files / "code"
        while not ended.exists():
            if time.monotonic() - self.started > seconds:
                self.signal(signal.SIGKILL, group=True)
                return Done(124, *self._output(), time.monotonic() - self.started)
            time.sleep(0.02)
        code, used = ended.read_text().split()
        USED.append(float(used))
        return Done(int(code), *self._output(), time.monotonic() - self.started, float(used))

    def _output(self) -> tuple[str, str]:
        return tuple((self.files / name).read_text(errors="replace") for name in ("out", "err"))  # type: ignore[return-value]


class Launcher:
    """Forks commands that share an environment; its Prefect settings are fixed when it starts."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "benchmarks.torture.forks"]
        self._process = subprocess.Popen(
            command, cwd=PROJECT, env=self.environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        """The process that forks."""
        return self._process.pid

    def start(self, cwd: Path, *arguments: str, stdin: str = "", **child: Any) -> Command:
        """Starts a command in a folder; `child` is what the child does first (`forks.Child`)."""
        with self._lock:
            files = cwd / ".torture" / f"{next(NUMBERS):05}"
            files.mkdir(parents=True)
            (files / "in").write_text(stdin)
            assert self._process.stdin and self._process.stdout
            order = {"arguments": arguments, "cwd": str(cwd), "files": str(files), **child}
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return Command(int(self._process.stdout.readline()), files, time.monotonic())

    def run(self, cwd: Path, *arguments: str, seconds: float = SECONDS, **child: Any) -> Done:
        """Starts a command and waits for its end."""
        return self.start(cwd, *arguments, **child).wait(seconds)

    def stop(self) -> None:
        """Ends the process that forks; it may be stopped twice."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
