"""Hashes files, replaces them atomically, and explains storage errors."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from tasks.shared.errors import ArtifactError, RunError, out_of_memory

_TOKEN = secrets.token_hex(6)
STORAGE_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE),
    *(errno.ENOENT, errno.ENODEV, errno.ENOTCONN, errno.EACCES, errno.EPERM),
}
"""Errors that mean a full, broken or vanished disk; those of networks are Prefect's."""


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed(folder: Path, pattern: str) -> list[Path]:
    """What in a folder matches, sorted; nothing if there is no such folder.

    Raises OSError for a folder that this process may not read, in which `Path.glob` finds nothing without a word.
    """
    try:
        return sorted(path for path in folder.iterdir() if fnmatchcase(path.name, pattern))
    except FileNotFoundError:
        return []


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
    fresh = temporary(path)
    try:
        yield fresh
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def create_text(path: Path, text: str) -> bool:
    """Writes a file that was not there before, whole and in one step; False, and nothing happens, if it is there.

    Of several processes, on several machines, one succeeds: a hard link to a written file cannot replace another.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = temporary(path)
    try:
        fresh.write_text(text, encoding="utf-8")
        os.link(fresh, path)
    except FileExistsError:
        return fresh.stat().st_nlink == 2  # over NFS a lost answer has the link made again: the first one was ours
    finally:
        fresh.unlink(missing_ok=True)
    return True


def temporary(path: Path) -> Path:
    """A name next to `path` that no other process uses, on any machine."""
    return path.with_name(f".{path.name}-{_machine()}-{os.getpid()}-{secrets.token_hex(6)}")


def process_name() -> str:
    """Distinguishes this process from all others that share a data folder, past ones and other machines' included."""
    return f"{_machine()}-{os.getpid()}-{_TOKEN}"


def is_abandoned(name: str) -> bool:
    """Whether a name that ends in a `process_name` is that of a process of this machine that has ended."""
    machine, owner, token = name.split("-")[-3:]
    if machine != _machine() or not owner.isdecimal():
        return False
    return token != _TOKEN if int(owner) == os.getpid() else not _is_alive(int(owner))


def remove_abandoned(root: Path, kept: str = "/") -> None:
    """Removes the new files and staging folders of processes of this machine that were killed before they named them.

    Looks into `root` and three levels below it, where files are replaced. Names that begin with `kept` stay.
    """
    machine = _machine()
    for depth in range(4):
        for path in root.glob("*/" * depth + f".*-{machine}-*-*"):
            owner = path.name.split("-")[-2]
            if owner.isdecimal() and not _is_alive(int(owner)) and not path.name.startswith(kept):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)  # another run removes it at the same time
                else:
                    path.unlink(missing_ok=True)


@cache
def _machine() -> str:
    """Distinguishes the machines that share a data folder.

    Containers count as machines, whose processes have the same numbers: two on one host can have its name.
    """
    names = [socket.gethostname()]
    with suppress(OSError):  # of another system than Linux
        names.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    with suppress(OSError):
        names.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


@contextmanager
def explain_storage_errors(root: Path, stage: str = "") -> Iterator[None]:
    """Turns an OSError of full or missing storage into an ArtifactError of one line; lack of memory into a RunError.

    `stage`: whose memory it is.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if (no_memory := out_of_memory(error, stage)) is not None:
            raise no_memory from error
        if not isinstance(error, OSError):
            raise
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            raise RunError(
                f"too many files are open ({error.strerror}); finished stages are kept: raise the limit (`ulimit -n`) "
                "and run again"
            ) from error
        if error.errno not in STORAGE_FAULTS and error.filename is None:  # of a connection
            raise
        raise ArtifactError(
            f"{error.filename or root}: the run cannot go on: {error.strerror or error}; "
            "finished stages are kept: fix the storage and run again"
        ) from error
