"""Runs the folds of a cross-validation one after the other, or several at once in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from threading import Event
from typing import IO, cast

from prefect.client.orchestration import get_client

from flows.steps.fold_spec import FoldOrder, FoldResult
from tasks.shared.errors import InputError, RunError

Process = subprocess.Popen[str]


def run_folds(
    orders: Sequence[FoldOrder], jobs: int, run_fold: Callable[[FoldOrder], FoldResult]
) -> Iterator[FoldResult]:
    """The folds' results as they come; of one job by `run_fold`, else in processes (`python -m flows.fold`).

    The first failure ends the folds that are still running."""
    if jobs == 1:
        yield from map(run_fold, orders)
        return
    running: list[Process] = []
    over = Event()
    environment = _environment(jobs)
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_in_a_process, order, environment, running, over) for order in orders]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            over.set()
            for process in list(running):
                _stop(process)


def _in_a_process(order: FoldOrder, environment: dict[str, str], running: list[Process], over: Event) -> FoldResult:
    """Threads of one process would share torch's threads and the interpreter's lock; processes share neither."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.fold"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C is for this process to pass on
    )
    running.append(process)
    told, said = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
    answer = ""
    with closing(said), suppress(BrokenPipeError):  # it may end before it has read the order
        told.write(order.model_dump_json() + "\n")
        told.flush()
        if over.is_set():  # while this process was being started
            _stop(process)
        answer = said.read()
    code = process.wait()
    _stop(process)
    running.remove(process)
    if code == 0:
        return FoldResult.model_validate_json(answer)
    where = f"repeat {order.repeat}, fold {order.fold}"
    if code in {InputError.exit_code, RunError.exit_code} and answer:
        raise (InputError if code == InputError.exit_code else RunError)(answer)
    raise RunError(f"{where}: its process ended with code {code}; run again, finished folds are reused")


def _stop(process: Process) -> None:
    """Closes the input, which ends the process (see flows/fold.py)."""
    with suppress(BrokenPipeError):
        cast(IO[str], process.stdin).close()


def _environment(jobs: int) -> dict[str, str]:
    """One Prefect server for all, and the cores divided among the processes."""
    with get_client(sync_client=True) as client:
        server = str(client.api_url)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    return {"OMP_NUM_THREADS": threads} | os.environ | {"PREFECT_API_URL": server}
