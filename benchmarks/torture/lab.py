"""What the trials share: a temporary folder, Prefect's server, the launcher, and a small corpus with its reference."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.torture.forks import environment_without_prefect
from benchmarks.torture.launcher import Launcher
from benchmarks.torture.server import Server
from benchmarks.torture.state import champion, digests
from benchmarks.torture.texts import write_pipeline
from tasks.shared.store.fingerprint import PROJECT

T = TypeVar("T")
Outcome = str | None | dict[str, str | None]


@dataclass(frozen=True)
class Trial:
    """One trial: the table's line that it counts for, and a check that returns what is wrong, or None.

    A check of several lines returns what is wrong with each.
    """

    what: str
    name: str
    check: Callable[[Path, random.Random], Outcome]


@dataclass
class Lab:
    """Everything outside of a trial's own folder; made when it is first needed, and stopped at the end."""

    root: Path
    notes: dict[str, str] = field(default_factory=dict)
    """What a line of the table says apart from its figures, by `what`."""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._once: dict[str, Any] = {}
        self._stoppers: list[Callable[[], object]] = []

    @cached_property
    def base_environment(self) -> dict[str, str]:
        """One thread a process, as several trials run at once; nothing of the user's Prefect."""
        home = self.root / "home"
        home.mkdir(exist_ok=True)
        own = {"PREFECT_HOME": str(home / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        quiet = {"PREFECT_LOGGING_LEVEL": "WARNING", "GX_ANALYTICS_ENABLED": "false", "PYTHONPATH": str(PROJECT)}
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return environment_without_prefect(os.environ) | own | quiet | threads

    @property
    def server(self) -> str:
        """The URL of a Prefect server that the trials share."""
        with self._lock:
            return self._server

    @cached_property
    def _server(self) -> str:
        server = Server(self.root / "server", self.base_environment)
        server.start()
        self._stoppers.append(server.stop)
        return server.url

    @property
    def launcher(self) -> Launcher:
        """Starts commands that use the shared server."""
        with self._lock:
            return self._launcher

    @cached_property
    def _launcher(self) -> Launcher:
        return self.new_launcher({"PREFECT_API_URL": self.server})

    def new_launcher(self, changes: Mapping[str, str]) -> Launcher:
        launcher = Launcher({**self.base_environment, **changes})
        self.stop_later(launcher.stop)
        return launcher

    def reference(self, folder: Path) -> Reference:
        """A finished run of the small corpus, copied into a folder with its settings and texts."""
        made = self._reference
        made.copy_to(folder)
        return made

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returns, made once for all trials."""
        with self._lock:
            if name not in self._once:
                self._once[name] = make()
            made: T = self._once[name]
            return made

    def reference_run(self) -> Reference:
        """The finished run itself, for reading."""
        return self._reference

    def made(self, name: str, prepare: Callable[[Path], None]) -> Reference:
        """A finished run on what `prepare` writes into its folder; made once."""
        return self.once(name, lambda: make_reference(self, self.root / name, prepare))

    @property
    def operations(self) -> list[str]:
        """The file operations of the undisturbed run."""
        return self._reference.operations

    @property
    def _reference(self) -> Reference:
        return self.made("reference", write_pipeline)

    def stop_later(self, stop: Callable[[], object]) -> None:
        """Has something stopped at the end, if a trial does not come to it."""
        self._stoppers.insert(0, stop)

    def stop(self) -> None:
        for stop in self._stoppers:
            with suppress(OSError, subprocess.SubprocessError):
                stop()


@dataclass
class Reference:
    """An undisturbed run: its folder, its digests by stage, its seconds, and its file operations."""

    folder: Path
    digests: dict[str, str]
    champion: str
    seconds: float
    operations: list[str]

    def copy_to(self, folder: Path) -> None:
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(folder / ".torture", ignore_errors=True)

    def texts_to(self, folder: Path) -> None:
        """Settings and texts alone, without data."""
        shutil.copytree(self.folder / "texts", folder / "texts")
        shutil.copy(self.folder / "pipeline.yaml", folder)


def make_reference(lab: Lab, folder: Path, prepare: Callable[[Path], None]) -> Reference:
    folder.mkdir()
    prepare(folder)
    command = lab.launcher.start(folder, "run", "--json", count_operations=True)
    done = command.wait()
    if done.code != 0:
        raise RuntimeError(f"the undisturbed run failed: {done.err}")
    operations = (command.files / "operations").read_text().splitlines()
    return Reference(folder, digests(folder / "data"), champion(folder / "data"), done.seconds, operations)
