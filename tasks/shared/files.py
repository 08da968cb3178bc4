"""Hashes files, replaces them atomically, and explains storage errors."""

from __future__ import annotations

import errno
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.shared.errors import ArtifactError

STORAGE_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE),
    *(errno.ENOENT, errno.ENODEV, errno.ENOTCONN, errno.EACCES, errno.EPERM),
}
"""Errors that mean a full, broken or vanished disk; those of networks are Prefect's."""


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a file atomically: a reader never sees a partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to `path`; the file there replaces `path` when the block ends.

    If the block fails, the temporary file is deleted.
    """
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        yield fresh
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


@contextmanager
def explain_storage_errors(root: Path) -> Iterator[None]:
    """Turns an OSError of full or missing storage, raised in the block, into an ArtifactError of one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in STORAGE_FAULTS:
            raise
        raise ArtifactError(
            f"{error.filename or root}: the run cannot go on: {error.strerror or error}; "
            "finished stages are kept: fix the storage and run again"
        ) from error
