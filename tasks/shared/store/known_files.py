"""Digests of files that were hashed before, so that a file that has not changed is not read again.

A file counts as unchanged if its size, modification time, change time and inode are those that it had when it was
hashed. The change time is the system's own: a program that edits a file and puts back the modification time changes it.
What does not show there is damage below the file system (a disk that returns other bytes), and changes that a network
file system does not report.

A file that was changed less than two seconds before it was hashed is not remembered: it could change again within the
resolution of the clock (as in Git's "racy" index entries).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Literal

from tasks.shared.files import file_digest, write_text

Verify = Literal["stat", "hash"]
SETTLED_NS = 2 * 10**9
"""Age from which a file is remembered: the coarsest clock of a file system in use, FAT's, has steps of two seconds."""
State = list[int]
"""Size in bytes, modification and change time in ns, inode."""


class KnownFiles:
    """sha256 of files; each is read only if it is not known, or has changed since it was."""

    def __init__(self, record: Path | None = None) -> None:
        """`record` is the file that keeps what is known; without one, nothing is, and every file is hashed."""
        self._record = record
        self._known = {} if record is None else _read(record)
        self._used: dict[str, tuple[str, State]] = {}
        self.hashed = 0
        """How many files were read."""

    def digest(self, path: Path, name: str | None = None) -> str:
        """sha256 of a file's bytes. Raises OSError if it cannot be read. `name` is what the record calls it."""
        name = name or str(path)
        before = _state(path)
        digest, state = self._known.get(name, ("", []))
        if state != before:
            started = time.time_ns()
            self.hashed += 1
            digest = file_digest(path)
            if max(before[1:3]) > started - SETTLED_NS or _state(path) != before:
                return digest
        self._used[name] = digest, before
        return digest

    def save(self) -> None:
        """Keeps what is known of the files that were asked for."""
        if self._record is not None and self._used != self._known:
            write_text(self._record, json.dumps(self._used, separators=(",", ":")))

    def forget(self) -> None:
        """Removes the record."""
        if self._record is not None:
            self._record.unlink(missing_ok=True)


def _state(path: Path) -> State:
    status = os.stat(path)  # noqa: PTH116 (a third of Path.stat's time, and there can be 100,000 files)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read(record: Path) -> dict[str, tuple[str, State]]:
    """What a record says; nothing if it is missing or damaged, for then every file is hashed."""
    try:
        values = json.loads(record.read_bytes())
        return {name: (str(digest), [int(n) for n in state]) for name, (digest, state) in values.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
