"""A child process that ends with its parent.

Its standard input is a pipe from the parent. When the parent closes the pipe, or dies and the system closes it, the
child stops. The child must call `end_with_parent` for that.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

Child = subprocess.Popen[str]
SECONDS_TO_END = 15
"""How long a child whose input was closed may take to end before it is killed."""


@contextmanager
def child_process(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    stderr: IO[str] | None = None,
) -> Iterator[Child]:
    """Runs `python -m module arguments` with pipes to its standard input and output; it does not outlive the block."""
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        cwd=folder,
        start_new_session=True,  # the parent handles Ctrl-C and then stops the child
    )
    threading.Thread(target=_close_after, args=(child,), daemon=True).start()
    try:
        yield child
    finally:
        close_input(child)
        try:
            child.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()


def send(child: Child, text: str) -> None:
    """Writes to the child's input; does nothing if the child has ended or its input is closed."""
    with suppress(BrokenPipeError, ValueError):
        if child.stdin:
            child.stdin.write(text)
            child.stdin.flush()


def close_input(child: Child) -> None:
    """Stops the child, and any process that inherited its input."""
    with suppress(OSError):
        if child.stdin:
            child.stdin.close()


def end_with_parent(code: int, grace: float = 0) -> None:
    """Called in the child: exits with `code` when standard input closes.

    With `grace`, in seconds, the process is first interrupted as by Ctrl-C, and has that long to clean up.
    """
    if grace:  # a shell that starts the parent in the background has it, and so the child, ignore interrupts
        signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_input, args=(code, grace), daemon=True).start()


def _end_with_input(code: int, grace: float) -> None:
    os.read(0, 1)  # not through sys.stdin: the interpreter needs its lock at exit
    if grace:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(grace)  # still here after it: the interrupt was lost, or a library blocks
    os._exit(code)


def _close_after(child: Child) -> None:
    """Stops the processes that inherited the input of a child that died before them."""
    child.wait()
    close_input(child)
