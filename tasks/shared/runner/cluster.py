"""A Dask cluster as an executor of concurrent.futures: one that exists, or one on this machine for as long as a run.

The workers need this version of corpusflow, and the data folder at the same path. Each call has one thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import Any

from tasks.shared.errors import RunError, SettingsError, one_line
from tasks.shared.runner.calls import CallLost
from tasks.shared.runner.cores import ONE_THREAD, clean_children, one_thread, usable_cores

RETRIES = 2
SECONDS_TO_CONNECT, SECONDS_BETWEEN_COUNTS = 30, 10.0
CALLS_PER_THREAD = 2
"""One that runs and one that waits at the worker, so that none is idle between two calls."""


@contextmanager
def open_cluster(workers: int | None, address: str | None) -> Iterator[Executor]:
    """An executor on the Dask scheduler at `address`; null: on a cluster of so many workers, which ends with the block.

    TLS follows Dask's own configuration (`distributed.comm.tls`). Raises SettingsError if Dask is not installed, and
    RunError if the scheduler does not answer or has no worker.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise SettingsError(
            f"runner.kind: dask needs a package that is missing ({error.name}); pip install 'corpusflow[dask]'"
        ) from None
    with ExitStack() as stack:
        if address is None:
            with clean_children():
                cluster = LocalCluster(
                    n_workers=workers or usable_cores(),
                    threads_per_worker=1,
                    memory_limit=0,  # none: the operating system decides, as it does without Dask
                    dashboard_address="127.0.0.1:0",  # any port that is free
                )
            stack.enter_context(cluster)
            address = cluster.scheduler_address
        try:
            client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"runner.address: {address} cannot be reached ({one_line(error)}); "
                "start `dask scheduler` there, or correct the address"
            ) from error
        stack.enter_context(client)
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
        except TimeoutError as error:
            raise RunError(
                f"runner.address: {address} has no worker; start `dask worker {address} --nthreads 1`"
            ) from error
        yield Cluster(client)


class Cluster(Executor):
    """Calls on the workers of a Dask client; one whose worker dies is tried again, on another."""

    def __init__(self, client: Any) -> None:
        self._client, self._executor = client, client.get_executor(pure=False, retries=RETRIES)
        self._address = client.scheduler.address
        self._calls: set[Future[Any]] = set()
        self._workers, self._counted = 1, -SECONDS_BETWEEN_COUNTS

    @property
    def workers(self) -> int:
        """How many calls to have at once: the workers can come and go."""
        now = time.monotonic()
        if now - self._counted >= SECONDS_BETWEEN_COUNTS:
            self._counted = now
            with suppress(OSError, RuntimeError):  # what is lost says so itself
                self._workers = max(1, CALLS_PER_THREAD * sum(self._client.nthreads().values()))
        return self._workers

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """See Executor; CallLost says that no worker could finish the call."""
        mine: Future[Any] = Future()
        theirs = self._executor.submit(_call, function, *arguments, **named)
        self._calls.add(theirs)

        def pass_on(done: Future[Any]) -> None:
            self._calls.discard(done)
            with suppress(InvalidStateError):  # it was cancelled
                if (error := self._error_of(done)) is None:
                    mine.set_result(done.result())
                else:
                    mine.set_exception(error)

        theirs.add_done_callback(pass_on)
        return mine

    def stop_workers(self) -> None:
        """Drops the calls that wait. Dask's workers finish the others, which does no harm: results appear whole."""
        for call in list(self._calls):
            call.cancel()

    def _error_of(self, done: Future[Any]) -> BaseException | None:
        from distributed import KilledWorker

        if done.cancelled():
            return CallLost(f"the Dask scheduler at {self._address} is gone; start it again")
        error = done.exception()
        if isinstance(error, KilledWorker):
            return CallLost(f"{1 + error.allowed_failures} workers died of it; if memory ran out, give them more")
        return error


_ONE_CALL = Lock()
"""The limits of threads and torch's random numbers belong to the process: a worker's other threads wait."""


def _call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """In a worker of Dask, one call at a time."""
    os.environ |= ONE_THREAD  # for libraries that are loaded later
    with _ONE_CALL, one_thread():
        return function(*arguments, **named)
