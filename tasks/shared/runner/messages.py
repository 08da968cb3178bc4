"""What a call in a worker says while it runs: its log lines and its progress, through a file that the run reads."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks.shared.progress import progress_listener
from tasks.shared.runner.cores import reserve_blas

PACKAGE = "corpusflow"


class Messages:
    """The messages of one call."""

    def __init__(self, path: Path) -> None:
        self.path, self.share, self._read = path, 0.0, 0
        path.unlink(missing_ok=True)  # of an interrupted run

    def read(self) -> Iterator[logging.LogRecord]:
        """The log records since the last time; `share` becomes the newest one."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):  # still being written
                    return
                self._read += len(line)
                try:
                    message = json.loads(line)
                except ValueError:  # the worker was killed meanwhile, and the call went on in another
                    continue
                if isinstance(message, float):
                    self.share = message
                else:
                    yield logging.makeLogRecord(message)


class _FileHandler(logging.Handler):
    """Writes records of this thread as JSON, with their arguments inserted."""

    def __init__(self, write: Callable[[Any], None]) -> None:
        super().__init__(logging.INFO)
        self._write, self._thread = write, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:  # of another call: Dask's workers can have several threads
            return
        names = ("name", "levelno", "levelname", "created")
        self._write({name: getattr(record, name) for name in names} | {"msg": record.getMessage()})


def run_remotely(path: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """In a worker: the function's result; what it logs and reports goes to the file."""
    logger = logging.getLogger(PACKAGE)
    with Path(path).open("ab", buffering=0) as file:

        def write(message: Any) -> None:
            file.write(json.dumps(message).encode() + b"\n")

        handler = _FileHandler(write)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            reserve_blas(sys.modules)
            with progress_listener(lambda share: write(float(share))):
                return function(*arguments)
        finally:
            logger.removeHandler(handler)
