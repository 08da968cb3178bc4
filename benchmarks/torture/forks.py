"""The process that forks for every command (`launcher.Launcher`); orders arrive as JSON lines on standard input."""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.torture.namespaces import Mount, enter

LIBRARIES = ("prefect", "prefect.main", "sklearn.svm", "sklearn.naive_bayes", "matplotlib.backends.backend_svg")


@dataclass(frozen=True)
class Child:
    """What a child is, and what happens to it."""

    arguments: list[str]
    cwd: str
    files: str
    environment: dict[str, str] = field(default_factory=dict)
    signal_at: tuple[str, int, int, bool] | None = None
    """Where to send itself a signal: a part of a path, which of the operations on such paths, the signal, and whether
    its whole group gets it."""
    count_operations: bool = False
    """Write every file operation below the data folder to `operations`."""
    clock: float = 0.0
    """Seconds that the wall clock is off."""
    limits: dict[str, int] = field(default_factory=dict)
    """Resource limits by their names (RLIMIT_AS)."""
    mounts: list[Mount] = field(default_factory=list)
    """Mounts in a namespace of its own."""
    host: str = ""
    """The name of a machine of its own, with process numbers that begin at 1; empty: this one."""
    maintenance: dict[str, Any] = field(default_factory=dict)
    """Parameters of the flow `maintenance`, which runs in place of a command."""
    pictures: bool = False
    """Draw the report's pictures, which takes a third of a small run's time; else they are blank."""


def main() -> None:
    from flows.ops.environment import configure_prefect

    configure_prefect()
    _import_everything()
    running: dict[int, Path] = {}
    orders = io.FileIO(0, closefd=False)  # without a buffer, of which `select` knows nothing
    while True:
        _reap(running)
        if not select.select([orders], [], [], 0.02)[0]:
            continue
        line = orders.readline()
        if not line:
            break
        child = Child(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            break
        running[pid] = Path(child.files)
        os.write(1, f"{pid}\n".encode())
    if line:
        _become(child)


def _import_everything() -> None:
    """What a run imports sooner or later, so that the children need not."""
    project = [*Path("flows").rglob("*.py"), *Path("tasks").rglob("*.py")]
    modules = [".".join(path.with_suffix("").parts) for path in project if not path.name.startswith("__")]
    for name in (*LIBRARIES, *sorted(modules)):
        importlib.import_module(name)
    import torch

    from flows.pipeline.stages import STAGES
    from tasks.shared.store.fingerprint import code_digests

    _compile_templates_once()
    for stage in STAGES.values():  # digests of the code, kept per process
        code_digests(stage.function.__module__)
        code_digests(stage.contract)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # its first use imports as much again as torch
    gc.freeze()


def _compile_templates_once() -> None:
    """Great Expectations compiles its templates for every page, which is a quarter of a run's time."""
    from jinja2 import Environment

    compiled: dict[Any, Any] = {}
    compile_template = Environment.compile

    def compile_once(self: Environment, source: Any, name: Any = None, *others: Any, **named: Any) -> Any:
        key = (source, name, others, *sorted(named.items()), *sorted(self.filters))
        if key not in compiled:
            compiled[key] = compile_template(self, source, name, *others, **named)
        return compiled[key]

    Environment.compile = compile_once  # type: ignore[method-assign]


def _reap(running: dict[int, Path]) -> None:
    while running:
        pid, status, used = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        files = running.pop(pid)
        with suppress(FileNotFoundError):  # a trial that did not wait for a command that hung
            (files / "code.new").write_text(f"{os.waitstatus_to_exitcode(status)} {used.ru_utime + used.ru_stime:.2f}")
            (files / "code.new").rename(files / "code")


def _become(child: Child) -> None:
    """Is the command from here on; returns or exits as it does."""
    os.setsid()
    for number, name, flags in ((0, "in", os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        os.dup2(os.open(Path(child.files) / name, flags | os.O_CREAT, 0o600), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if child.mounts or child.host:
        enter(child.mounts, child.host)
    os.chdir(child.cwd)
    os.environ.update(child.environment)
    for name, most in child.limits.items():
        resource.setrlimit(getattr(resource, name), (most, most))
    if child.clock:
        _set_clock(child.clock)
    if child.signal_at or child.count_operations:
        sys.addaudithook(_Watch(child))
    if not child.pictures:
        _leave_pictures_blank()
    sys.argv = ["corpusflow", *child.arguments]
    if child.maintenance:
        from flows.maintenance import maintenance
        from flows.ops.environment import prefect_session

        with prefect_session():
            maintenance(**child.maintenance)
        return
    from flows.cli.main import main as command

    command()


def _leave_pictures_blank() -> None:
    from tasks.shared.plots import drawing

    drawing._svg = lambda *_: b'<svg xmlns="http://www.w3.org/2000/svg"><g id="figure_1"/></svg>'


class _Watch:
    """Counts the file operations below the data folder, and sends the signal at the one that was named."""

    def __init__(self, child: Child) -> None:
        self._root = str(Path(child.cwd) / "data")
        self._at = child.signal_at
        self._left = child.signal_at[1] if child.signal_at else -1
        self._log = os.open(Path(child.files) / "operations", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._pid = os.getpid()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in {"open", "os.rename", "os.mkdir", "os.remove", "os.symlink", "os.rmdir", "shutil.rmtree"}:
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if not path.startswith(self._root) or os.getpid() != self._pid:
            return
        if self._at is None:
            os.write(self._log, f"{event} {path.removeprefix(self._root)}\n".encode())
        elif self._at[0] in path:
            self._left -= 1
            if self._left == 0:
                os.write(self._log, f"{event} {path.removeprefix(self._root)}\n".encode())
                (os.killpg if self._at[3] else os.kill)(self._pid, self._at[2])


def _set_clock(seconds: float) -> None:
    """Sets the wall clock that Python's own code sees; the monotonic clock is not a wall clock."""
    import datetime as module

    real = time.time
    time.time = lambda: real() + seconds
    kept = module.datetime

    class Shifted(kept):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return kept.now(tz) + module.timedelta(seconds=seconds)

    for loaded in list(sys.modules.values()):
        if loaded.__name__.startswith(("flows.", "tasks.")) and getattr(loaded, "datetime", None) is kept:
            loaded.datetime = Shifted  # type: ignore[attr-defined]


def environment_without_prefect(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}


if __name__ == "__main__":
    main()
