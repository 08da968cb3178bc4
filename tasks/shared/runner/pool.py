"""Worker processes: a ProcessPoolExecutor whose workers start clean and end with the run, however it ends.

A worker is spawned, not forked: a fork of a process with threads (Prefect has several) can hang. It does not import the
run's main module, which may be Prefect's. It uses one thread, ignores Ctrl-C, which a terminal sends to it too (the run
stops it), and ends when the run's process dies.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from tasks.shared.errors import RunError, lacks_memory
from tasks.shared.runner.calls import IN_PROCESS
from tasks.shared.runner.cluster import open_cluster
from tasks.shared.runner.cores import ONE_THREAD, clean_children, usable_cores

NO_TRACKER_WARNING = "ignore::UserWarning:multiprocessing.resource_tracker"
"""A killed run leaves semaphores that the tracker removes; it would say so on standard error."""
_opened: ContextVar[Executor | None] = ContextVar("opened", default=None)


@contextmanager
def open_executor(kind: str, workers: int | None, address: str | None = None) -> Iterator[Executor]:
    """What the stages of a run compute on, by the settings `runner`; its workers end with the block.

    One worker would be no faster than the run's own process, so none is started for it by default. Inside another such
    block, as in a fold of a cross-validation, its executor is used.
    """
    if (outer := _opened.get()) is not None:
        yield outer
        return
    with _open(kind, workers, address) as executor:
        token = _opened.set(None if executor is IN_PROCESS else executor)
        try:
            yield executor
        finally:
            _opened.reset(token)


@contextmanager
def _open(kind: str, workers: int | None, address: str | None) -> Iterator[Executor]:
    number = workers or usable_cores()
    if kind == "dask":
        with open_cluster(workers, address) as cluster:
            yield cluster
        return
    if kind == "local" or (workers is None and number == 1):
        yield IN_PROCESS
        return
    pool = WorkerPool(number, by_default=workers is None)
    try:
        yield pool
    finally:
        pool.stop_workers()


class WorkerPool(Executor):
    """Starts its workers when there is work, and again after `stop_workers`."""

    def __init__(self, workers: int, by_default: bool = False) -> None:
        """`by_default`: no setting asks for them (see `worth_workers`)."""
        self.workers, self.by_default = workers, by_default
        self._pool: ProcessPoolExecutor | None = None
        self._processes: list[SpawnProcess] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """See Executor; a worker is started if none is idle."""
        if self._pool is None:
            _start_tracker()
            try:
                self._pool = ProcessPoolExecutor(self.workers, _Context(self._processes), initializer=_begin_worker)
            except OSError as error:  # its semaphores need /dev/shm
                if lacks_memory(error):
                    raise
                raise RunError(
                    f"worker processes cannot be started ({error.strerror or error}; on Linux they need /dev/shm); set "
                    "runner.kind to local"
                ) from error
        return self._pool.submit(function, *arguments, **named)

    @property
    def has_lost_a_worker(self) -> bool:
        """Whether a worker has ended by itself. The pool may not notice before it next wakes (CPython 3.11)."""
        return any(process.exitcode is not None for process in self._processes)

    def stop_workers(self) -> None:
        """Kills the workers, whatever they do; returns when they are gone."""
        pool, self._pool = self._pool, None
        for process in self._processes:
            if process.pid is not None:
                process.kill()
        self._processes.clear()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


class _Worker(SpawnProcess):
    """A spawned process that does not import the parent's main module, with SIGINT blocked from its first moment."""

    def start(self) -> None:
        """See Process."""
        with clean_children():
            super().start()


class _Context(SpawnContext):
    """Makes workers, and keeps them in a list."""

    def __init__(self, workers: list[SpawnProcess]) -> None:
        self._workers = workers

    def Process(self, *arguments: Any, **named: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        """A worker."""
        self._workers.append(_Worker(*arguments, **named))
        return self._workers[-1]


def _start_tracker() -> None:
    """Starts multiprocessing's process that removes semaphores; it inherits the environment."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = NO_TRACKER_WARNING
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _begin_worker() -> None:
    """The first thing that a worker does, before any library is loaded."""
    os.environ |= ONE_THREAD
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
