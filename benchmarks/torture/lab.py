"""What the trials share: a temporary folder, Prefect's server, the launcher, and a small corpus with its reference."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml

from benchmarks.torture.forks import environment_without_prefect
from benchmarks.torture.launcher import Done, Launcher
from tasks.shared.store.fingerprint import PROJECT

T = TypeVar("T")
TINY: dict[str, Any] = {
    "extraction": {"source": "folder", "folder": {"path": "texts"}},
    "vocabulary": {"size": 400},
    "training": {"epochs": 2, "hidden_size": 8, "embedding_size": 16, "window": 32, "stride": 32, "device": "cpu"},
    "evaluation": {"bootstrap_samples": 100, "baselines": ["majority", "naive_bayes"]},
    "promotion": {"bootstrap_samples": 100, "min_documents": 1},
    "checks": {"training": {"min_gain_over_majority": -1}},
}
"""Settings under which a run takes seconds."""


@dataclass(frozen=True)
class Trial:
    """One trial: the table's line that it counts for, and a check that returns what is wrong, or None."""

    what: str
    name: str
    check: Callable[[Path, random.Random], str | None]


@dataclass
class Lab:
    """Everything outside of a trial's own folder; made when it is first needed, and stopped at the end."""

    root: Path

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
        self._stoppers.insert(0, launcher.stop)
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

    def stop(self) -> None:
        for stop in self._stoppers:
            with suppress(OSError, subprocess.SubprocessError):
                stop()


class Server:
    """A Prefect server with a home of its own; on the loopback alone."""

    def __init__(self, home: Path, environment: Mapping[str, str], port: int | None = None) -> None:
        self.home, self.port = home, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._environment = {**environment, "PREFECT_HOME": str(home)}
        self._environment.pop("PREFECT_API_URL", None)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.home.mkdir(exist_ok=True)
        command = [*("-m", "prefect", "server", "start"), "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "server.log").open("ab") as log:
            where: dict[str, Any] = {"stdout": log, "stderr": log, "start_new_session": True}
            self.process = subprocess.Popen([sys.executable, *command], env=self._environment, **where)
        until = time.monotonic() + 180
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


def write_pipeline(folder: Path) -> None:
    """The small corpus and the quick settings."""
    write_corpus(folder / "texts")
    configure(folder)


def make_reference(lab: Lab, folder: Path, prepare: Callable[[Path], None]) -> Reference:
    folder.mkdir()
    prepare(folder)
    command = lab.launcher.start(folder, "run", "--json", count_operations=True)
    done = command.wait()
    if done.code != 0:
        raise RuntimeError(f"the undisturbed run failed: {done.err}")
    operations = (command.files / "operations").read_text().splitlines()
    return Reference(folder, digests(folder / "data"), champion(folder / "data"), done.seconds, operations)


def write_corpus(folder: Path, labels: int = 3, documents: int = 12, seed: int = 0) -> None:
    """A corpus in the folder layout; each label has some words of its own."""
    rng = random.Random(seed)
    common = (
        "the",
        "of",
        "and",
        "to",
        "a",
        "in",
        "that",
        "is",
        "was",
        "he",
        "for",
        "it",
        "with",
        "as",
        "his",
        "on",
        "by",
    )
    for label in range(labels):
        own = [f"{stem}{label}" for stem in ("apple", "river", "stone", "cloud", "tiger")]
        (folder / f"label{label}").mkdir(parents=True, exist_ok=True)
        for number in range(documents):
            words = [rng.choice(own if rng.random() < 0.3 else common) for _ in range(80)]
            text = " ".join(words) + f".\n\nParagraph two of text {label}-{number} {rng.random()}.\n"
            (folder / f"label{label}" / f"{seed:02}{number:03}.txt").write_text(text)


def configure(folder: Path, **sections: Any) -> None:
    """Writes pipeline.yaml: the quick settings with changes."""
    values = json.loads(json.dumps(TINY))
    for name, given in sections.items():
        if isinstance(given, dict):
            values.setdefault(name, {}).update(given)
        else:
            values[name] = given
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(values, allow_unicode=True))


def digests(data: Path) -> dict[str, str]:
    """The content digest of each stage's newest artifact."""
    found = {}
    for link in sorted(data.glob("[0-9]*/latest")):
        manifest = json.loads((link / "artifact.json").read_text())
        found[manifest["stage"]] = manifest["digest"]
    return found


def champion(data: Path) -> str:
    """The digest of the champion's content; empty if there is none."""
    path = data / "champion.json"
    return json.loads(path.read_text())["history"][-1]["digest"] if path.exists() else ""


def temporary_files(data: Path) -> list[str]:
    """What an interrupted write leaves: folders in staging or scratch, and files that never got their name."""
    found = [path for path in data.rglob(".*") if path.name != ".locks"]
    return sorted(path.relative_to(data).as_posix() for path in found if ".locks" not in path.parts)


def one_line(done: Done, *words: str) -> str | None:
    """What is wrong with a failure that must end in one line of ours that contains the words."""
    lines = [line for line in done.err.splitlines() if line.startswith("corpusflow: ")]
    if done.code == 124:
        return "hangs"
    if "Traceback" in done.err:
        return f"traceback: {done.message}"
    if len(lines) != 1 or done.code not in {1, 2}:
        return f"code {done.code}, {len(lines)} lines of ours: {done.message}"
    missing = [word for word in words if word.lower() not in lines[0].lower()]
    return f"lacks {', '.join(missing)}: {lines[0]}" if missing else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
