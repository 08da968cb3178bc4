"""Errors that people read.

Each message is one line: the file, the key or the document, the problem, and what to do.

    CorpusflowError            a message for the user, never a traceback
    ├── InputError             the user's texts, settings or arguments are wrong   (exit code 2)
    │   ├── SettingsError      pipeline.yaml or an override
    │   └── CorpusError        a file, a document or a column of the corpus
    │       └── DownloadError  the corpus could not be fetched; trying again can help
    └── RunError               the run failed                                      (exit code 1)
        ├── CheckFailed        a data check stopped the run
        ├── ArtifactError      an artifact is missing, damaged or cannot be written
        └── TrainingError      training cannot start or go on
"""

from __future__ import annotations

import errno
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.shared.memory import what_to_do

if TYPE_CHECKING:
    from pydantic import ValidationError


_COMMAND = re.compile(r"(?<=`)corpusflow (?!serve|automations|-)[a-z-]+")
_SETTINGS_FILE = re.compile(r"(?<![\w/.-])pipeline\.yaml")


class CorpusflowError(Exception):
    """Base of every error whose message is meant for the user."""

    exit_code = 1


class InputError(CorpusflowError):
    """The user's input is wrong; the message says what to change."""

    exit_code = 2


class SettingsError(InputError):
    """A key or a value in pipeline.yaml, or an override, is wrong."""


class CorpusError(InputError):
    """A file, a document or a column of the corpus is wrong."""


class RunError(CorpusflowError):
    """A stage could not finish."""


class CheckFailed(RunError):
    """A data check failed; the artifact is now in the folder `quarantine`."""

    def __init__(self, message: str, quarantine: Path | None = None) -> None:
        super().__init__(message)
        self.quarantine = quarantine


class ArtifactError(RunError):
    """An artifact is missing, damaged or cannot be written."""


class TrainingError(RunError):
    """Training cannot start or cannot go on."""


class DownloadError(CorpusError):
    """A corpus could not be fetched."""


def one_line(message: object, max_characters: int = 300) -> str:
    """The message on one line, truncated to `max_characters`."""
    return " ".join(str(message).split())[:max_characters]


def with_config(message: str, config: str) -> str:
    """The message, with the settings file in the commands that it advises: `corpusflow run --config reviews.yaml`."""
    message = _COMMAND.sub(lambda found: f"{found[0]} --config {shlex.quote(config)}", message)
    return _SETTINGS_FILE.sub(lambda _: config, message)


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, and where it is."""
    problem = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"])))


_UNREACHABLE = (errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ECONNRESET)
_PASSING = {errno.EIO, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, *_UNREACHABLE}


_NO_MEMORY = ("allocate memory", "can't start new thread", "failed to map segment")


def is_transient(error: BaseException | None) -> bool:
    """Whether a retry can help: a download failed, or storage did not answer. A full disk is not transient."""
    while error is not None:
        if isinstance(error, DownloadError) or (isinstance(error, OSError) and error.errno in _PASSING):
            return True
        error = error.__cause__
    return False


def lacks_memory(error: BaseException) -> bool:
    """Whether Python, Arrow, torch or the system could not allocate.

    Some say so in a plain RuntimeError, and the loader of libraries in an ImportError.
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    no_memory = isinstance(error, RuntimeError | ImportError) and any(words in str(error) for words in _NO_MEMORY)
    return no_memory or isinstance(error, MemoryError)


def out_of_memory(error: BaseException, stage: str = "") -> RunError | None:
    """What to tell of an error that lack of memory has led to: this one, or one that came before it; else None.

    `stage`: whose memory it is.
    """
    seen: list[BaseException] = []
    while error not in seen:
        if lacks_memory(error):
            reason = one_line(error) or "no more could be allocated"
            return RunError(f"memory ran out ({reason}); finished stages are kept: {what_to_do(stage)}")
        seen.append(error)
        error = error.__cause__ or error.__context__ or error
    return None
