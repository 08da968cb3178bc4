"""Progress for work that takes more than two seconds: log lines, and a share of the work for whoever listens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 2.0
Hear = Callable[[float], None]
_listener: ContextVar[Hear | None] = ContextVar("listener", default=None)


def logger(stage: str) -> logging.Logger:
    """The stage's logger, `corpusflow.<stage>`."""
    return logging.getLogger(f"corpusflow.{stage}")


@contextmanager
def listening(hear: Hear) -> Iterator[None]:
    """Has `hear` called with the share of the work that is done, as often as the work tells it."""
    token = _listener.set(hear)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(share: float) -> None:
    """Says which share of a stage's work is done, from 0 to 1, to whoever listens."""
    hear = _listener.get()
    if hear is not None:
        hear(share)


def progress(items: Iterable[T], stage: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Passes `items` on; every two seconds a line says how many have gone by, how fast, and what is left."""
    log, started = logger(stage), time.monotonic()
    spoken = started
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - spoken >= SECONDS_BETWEEN_LINES:
            spoken = now
            rate = done / (now - started)
            left = f" of {total:,}, {(total - done) / rate:.0f} s left" if total else ""
            log.info("%s: %s %s%s", stage, f"{done:,}", unit, left)
            if total:
                tell(done / total)
