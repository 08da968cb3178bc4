"""Runs the folds of a cross-validation one after the other, or several at once in processes of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event

from prefect.client.orchestration import get_client

from flows.steps.fold_spec import FoldResult, FoldSpec
from tasks.shared.child_process import Child, child_process, close_input, send
from tasks.shared.errors import InputError, RunError


def run_folds(specs: Sequence[FoldSpec], jobs: int, run_fold: Callable[[FoldSpec], FoldResult]) -> Iterator[FoldResult]:
    """Yields each fold's result as it finishes: one job calls `run_fold`, several run `python -m flows.fold`.

    The first failure stops the folds that are still running.
    """
    if jobs == 1:
        yield from map(run_fold, specs)
        return
    running: list[Child] = []
    stopping = Event()
    environment = _environment(jobs)
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(_run_in_process, spec, environment, running, stopping) for spec in specs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            stopping.set()
            for child in list(running):
                close_input(child)


def _run_in_process(spec: FoldSpec, environment: dict[str, str], running: list[Child], stopping: Event) -> FoldResult:
    """Threads of one process would share torch's threads and the interpreter's lock; processes share neither."""
    with child_process("flows.fold", environment=environment) as child:
        running.append(child)
        send(child, spec.model_dump_json() + "\n")
        if stopping.is_set():  # since before the child was in `running`
            close_input(child)
        output = child.stdout.read() if child.stdout else ""
        code = child.wait()
    running.remove(child)
    if code == 0:
        return FoldResult.model_validate_json(output)
    for error in (InputError, RunError):
        if code == error.exit_code and output:
            raise error(output)
    raise RunError(
        f"repeat {spec.repeat}, fold {spec.fold}: its process ended with code {code}; "
        "run again, finished folds are reused"
    )


def _environment(jobs: int) -> dict[str, str]:
    """One Prefect server for all processes, and the cores divided among them."""
    with get_client(sync_client=True) as client:
        server = str(client.api_url)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    return {"OMP_NUM_THREADS": threads} | os.environ | {"PREFECT_API_URL": server}
