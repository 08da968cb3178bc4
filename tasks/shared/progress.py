"""Progress for work that takes more than two seconds: log lines, and the share of the work for a listener."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 2.0
ProgressListener = Callable[[float], None]
_listener: ContextVar[ProgressListener | None] = ContextVar("listener", default=None)


def logger(stage: str) -> logging.Logger:
    """The stage's logger, `corpusflow.<stage>`."""
    return logging.getLogger(f"corpusflow.{stage}")


@contextmanager
def progress_listener(listener: ProgressListener) -> Iterator[None]:
    """Calls `listener` with the finished share of the work, from 0 to 1, whenever the stage reports it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_progress(share: float) -> None:
    """Reports the finished share of a stage's work, from 0 to 1, to the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(share)


def progress(
    items: Iterable[T], stage: str, unit: str, total: int | None = None, size: Callable[[T], int] = lambda _: 1
) -> Iterator[T]:
    """Yields `items`; every two seconds it logs how many are done and, with a `total`, the time left.

    An item counts for `size` of the unit.
    """
    log, started = logger(stage), time.monotonic()
    last_line, done = started, 0
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last_line >= SECONDS_BETWEEN_LINES:
            last_line = now
            rate = done / (now - started)
            left = f" of {total:,}, {(total - done) / rate:.0f} s left" if total else ""
            log.info("%s: %s %s%s", stage, f"{done:,}", unit, left)
            if total:
                report_progress(done / total)
