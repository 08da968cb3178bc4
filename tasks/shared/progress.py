"""Progress for work that takes more than two seconds, as log lines (they reach the terminal and Prefect's UI)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 2.0


def logger(stage: str) -> logging.Logger:
    """The stage's logger, `corpusflow.<stage>`."""
    return logging.getLogger(f"corpusflow.{stage}")


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
