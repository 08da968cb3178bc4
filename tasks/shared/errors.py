"""Errors that people read.

Each carries one line that names the file, the key or the document, what was found and what to do.

    CorpusflowError            a message for the user, never a traceback
    ├── InputError             the user's texts, settings or arguments are wrong   (exit code 2)
    │   ├── SettingsError      pipeline.yaml or an override
    │   └── CorpusError        a file, a document or a column of the corpus
    └── RunError               the run failed                                      (exit code 1)
        ├── CheckFailed        a data check stopped the run
        ├── ArtifactError      an artifact is missing, damaged or cannot be written
        └── TrainingError      training cannot start or go on
"""

from __future__ import annotations


class CorpusflowError(Exception):
    """Base of every error whose message is meant for the user."""

    exit_code = 1


class InputError(CorpusflowError):
    """What the user handed over is wrong; the message says what to change."""

    exit_code = 2


class SettingsError(InputError):
    """A key or a value in pipeline.yaml, or an override, is wrong."""


class CorpusError(InputError):
    """A file, a document or a column of the corpus is wrong."""


class RunError(CorpusflowError):
    """A stage could not finish."""


class CheckFailed(RunError):
    """A data check found something that must not go on to the next stage."""


class ArtifactError(RunError):
    """An artifact is missing, damaged or cannot be written."""


class TrainingError(RunError):
    """Training cannot start or cannot go on."""
