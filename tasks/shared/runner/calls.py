"""Runs calls on an executor of concurrent.futures, with their log lines and their progress.

A call is a function that can be imported by name, and plain arguments: paths, numbers, strings, frozen dataclasses of
these. What is large lies in files. Any executor will do whose workers see the same files.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.shared.errors import CorpusflowError, RunError
from tasks.shared.progress import progress_listener, report_progress
from tasks.shared.runner.cores import one_thread
from tasks.shared.runner.messages import Messages, run_remotely

SECONDS_BETWEEN_READS = 0.5
SMALL_CHARACTERS = 500_000
"""Models of fewer characters of text take seconds; so does the start of workers, which import torch or scikit-learn."""


@dataclass(frozen=True)
class Call:
    """A call of a module's function; `title` names it in errors."""

    title: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class CallLost(BrokenExecutor):
    """An executor could not finish a call; the message says why, and what to do."""


class InProcess(Executor):
    """Runs each call at once, in the calling thread."""

    workers = 1

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """A future that is done; an interruption is raised."""
        future: Future[Any] = Future()
        try:
            with one_thread():
                future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


IN_PROCESS = InProcess()


def worth_workers(executor: Executor, characters: int) -> Executor:
    """`executor`, or the run's own process for a small corpus, unless the settings ask for a number of workers."""
    by_default = getattr(executor, "by_default", False)
    return IN_PROCESS if by_default and characters < SMALL_CHARACTERS else executor


def run_calls(
    executor: Executor, calls: Iterable[Call], scratch: Path, total: int | None = None
) -> Iterator[tuple[Call, Any]]:
    """Yields each call with its result, in the order in which they finish; calls added to a deque meanwhile run too.

    The calls' log lines appear here, by way of files in `scratch`. With a `total`, the number of calls altogether,
    their progress is reported. Calls start in order, as many at once as the executor has `workers`. The first one that
    fails stops the others: raises its error, or RunError if a worker died, with the titles of the running calls.
    """
    waiting = calls if isinstance(calls, deque) else deque(calls)
    running = _Running(executor, scratch, total)
    try:
        while waiting or running:
            while waiting and len(running) < getattr(executor, "workers", 2**30):
                running.start(waiting.popleft())
            yield from running.finished()
    except BaseException:
        running.stop()
        raise


class _Running:
    """The calls that have been submitted and have not been yielded."""

    def __init__(self, executor: Executor, folder: Path, total: int | None) -> None:
        self.executor, self.folder, self.total = executor, folder, total
        folder.mkdir(parents=True, exist_ok=True)
        self.calls: dict[Future[Any], tuple[Call, Messages]] = {}
        self.started = self.done = 0

    def __len__(self) -> int:
        return len(self.calls)

    def start(self, call: Call) -> None:
        messages = Messages(self.folder / f"messages-{self.started}")
        self.started += 1
        if isinstance(self.executor, InProcess):
            outside = copy_context()  # the listener of the whole
            with progress_listener(lambda share: outside.run(self._report, share)):
                future = self.executor.submit(call.function, *call.arguments)
        else:
            future = self.executor.submit(run_remotely, str(messages.path), call.function, *call.arguments)
        self.calls[future] = (call, messages)

    def finished(self) -> Iterator[tuple[Call, Any]]:
        """Waits for a moment; the calls that have ended."""
        ended, _ = wait(self.calls, SECONDS_BETWEEN_READS, FIRST_COMPLETED)
        self._read_messages()
        for future in ended:
            call, error = self.calls[future][0], future.exception()
            if isinstance(error, CallLost):
                raise RunError(f"{call.title}: {error}; run again, what is finished is kept") from None
            if isinstance(error, BrokenExecutor):
                raise self._worker_died() from None
            if isinstance(error, CorpusflowError):
                raise error from None
            if error is not None:
                error.add_note(call.title)
                raise error
            del self.calls[future]
            self.done += 1
            self._report(0)
            yield call, future.result()
        if self.calls and getattr(self.executor, "has_lost_a_worker", False):
            raise self._worker_died()

    def stop(self) -> None:
        """Returns when no call is running: a stage that is tried again must not meet what it left."""
        for future in self.calls:
            future.cancel()
        stop = getattr(self.executor, "stop_workers", None)
        if stop is not None:
            stop()
        else:
            wait(self.calls)

    def _read_messages(self) -> None:
        shares = 0.0
        for _, messages in self.calls.values():
            for record in messages.read():
                logging.getLogger(record.name).handle(record)
            shares += messages.share
        if shares:
            self._report(shares)

    def _report(self, shares: float) -> None:
        if self.total:
            report_progress(min(1.0, (self.done + shares) / self.total))

    def _worker_died(self) -> RunError:
        titles = ", ".join(call.title for call, _ in self.calls.values())
        return RunError(
            f"a worker process died during: {titles}; if memory ran out, lower runner.workers; "
            "run again, what is finished is kept"
        )
