"""How a command ends on a signal: at once, with one line, whatever the main thread is doing."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from tasks.shared.errors import out_of_memory

LONGEST_CLEANUP = {signal.SIGINT: 2.5, signal.SIGTERM: 8.0, signal.SIGHUP: 8.0}
"""Seconds from a signal until the process ends, even if the main thread is in a library that does not return."""
MESSAGES = {
    129: "its terminal was closed; no file is half-written, and the next run continues from here",
    130: "interrupted; no file is half-written, and the next run continues from here",
    143: "terminated; no file is half-written, and the next run continues from here",
}
_signals: list[int] = []
_last_word = threading.Lock()
_exit_hooks_would_hang = threading.Event()


class Terminated(BaseException):
    """SIGTERM arrived, or SIGHUP: the terminal was closed."""


@contextmanager
def prompt_end() -> Iterator[None]:
    """Inside, SIGINT raises KeyboardInterrupt, and SIGTERM and SIGHUP raise Terminated; signals after it are ignored.

    If the main thread has not ended the process a little later, a second thread does. SIGALRM, which a run that lacks
    memory sends itself, ends it with the line about that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.getsignal(number) for number in LONGEST_CLEANUP}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as in a shell's background job
            signal.signal(number, _interrupt)
    alarmed = signal.signal(signal.SIGALRM, _end_without_memory)
    former = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_end_after_signal, args=(reading,), daemon=True).start()
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarmed)
        signal.set_wakeup_fd(former)
        os.close(writing)
        for number, handler in before.items():
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, handler)


def code_of_signal() -> int:
    """The exit code if a signal has arrived inside `prompt_end`, else 0.

    Libraries can turn KeyboardInterrupt into an exception of their own (pydantic does), so an exception that arrives
    after a signal says nothing.
    """
    return 128 + _signals[0] if _signals else 0


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    _signals.append(number)
    for ignored in LONGEST_CLEANUP:
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _end_without_memory(_: int, __: FrameType | None) -> NoReturn:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"corpusflow: {out_of_memory(MemoryError())}\n")
    end_now(1)


def _end_after_signal(reading: int) -> None:
    """Runs while the main thread cannot: the interpreter writes a signal's number into the pipe before any handler."""
    while received := os.read(reading, 1):
        if received[0] in LONGEST_CLEANUP:
            time.sleep(LONGEST_CLEANUP[signal.Signals(received[0])])
            end_now(128 + received[0])
    os.close(reading)


def end_now(code: int) -> NoReturn:
    """Ends the process without its exit hooks; after a signal, says so."""
    with _last_word:
        say_ending(code)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def say_ending(code: int) -> None:
    """Prints the one line about a signal."""
    if code in MESSAGES:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"corpusflow: {MESSAGES[code]}\n")


def skip_exit_hooks() -> None:
    """From now on `end` does not wait for exit hooks, such as Prefect's that would send what it cannot."""
    _exit_hooks_would_hang.set()


def end(code: int) -> NoReturn:
    """Ends the process, with its exit hooks if they can finish."""
    if code in MESSAGES or _exit_hooks_would_hang.is_set():
        end_now(code)
    sys.exit(code)
