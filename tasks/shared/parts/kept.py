"""Finished parts that outlive their run, so that a later one makes only those whose input has changed.

A part is known by a digest of all that shapes it: the function, the stage's code and libraries, what the function's
arguments stand for, and the rows that it reads. It is a folder of a few files under `.parts/<stage>` in the data
folder, which appears whole or not at all, and lies there while a build reads it. A build hashes the files: a damaged
part, for example through an artifact that has a hard link to the same file, is made again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.shared.files import file_digest, temporary, write_text
from tasks.shared.progress import logger
from tasks.shared.store.fingerprint import digest_of

Counts = dict[str, Any]
"""What a part's function returns: small, and JSON."""
DONE, ABOUT = "done.json", "about.json"


class KeptParts:
    """The kept parts of a stage, and how many of its parts a build made."""

    def __init__(self, folder: Path, made_of: Mapping[str, Any] | None = None) -> None:
        """`made_of` is what shapes every part of the stage: digests of its code, versions of its libraries."""
        self.folder, self._made_of = folder, dict(made_of or {})
        self._all, self._made, self._changed = set[int](), set[int](), set[str]()

    def open(self, function: Callable[..., Counts], depends_on: Mapping[str, Any]) -> Path:
        """The folder of the parts that this function makes of these; notes what is not as it was for the others."""
        about = {"function": f"{function.__module__}.{function.__qualname__}", **self._made_of, **depends_on}
        shelf = self.folder / digest_of(about)[:20]
        if not (shelf / ABOUT).exists():
            before = self._newest(about["function"])
            self._changed.update(name for name in before if before[name] != about.get(name))
            write_text(shelf / ABOUT, json.dumps(about, indent=1))
        os.utime(shelf)
        return shelf

    def _newest(self, function: str) -> dict[str, Any]:
        """What the parts were made of that this function made last; empty if there are none."""
        for shelf in sorted(self.folder.glob("*/"), key=_last_used, reverse=True):
            with suppress(OSError, ValueError, AttributeError, TypeError):
                about = json.loads((shelf / ABOUT).read_bytes())
                if about.get("function") == function:
                    return dict(about)
        return {}

    def take(self, kept: Path) -> Counts | None:
        """The counts of a kept part, after hashing its files; None if there is none, or it is damaged."""
        counts = finished_counts(kept)
        with suppress(FileNotFoundError):
            if counts is not None:
                os.utime(kept)
            elif kept.stat():
                logger(self.folder.name).warning("%s: %s is damaged; it is made again", self.folder.name, kept)
                _remove(kept)
        return counts

    def count(self, numbers: set[int], made: set[int]) -> None:
        """Notes the parts of a step, and those of them that it makes."""
        self._all |= numbers
        self._made |= made

    def summary(self) -> dict[str, Any]:
        """How many parts there are, how many of them were made, and what changed if that were all."""
        if not self._all:
            return {}
        anew = {"parts_anew_for": ", ".join(sorted(self._changed))} if self._changed else {}
        return {"parts": len(self._all), "parts_made": len(self._made), **anew}


def in_words(summary: Mapping[str, Any]) -> str:
    """For example: 2 of 22 parts made, 20 kept. Empty if a stage has no parts."""
    if "parts" not in summary:
        return ""
    every, made = summary["parts"], summary["parts_made"]
    anew = f"; all depend on what changed: {summary['parts_anew_for']}" if "parts_anew_for" in summary else ""
    return f"{made:,} of {every:,} parts made, {every - made:,} kept{anew}"


def write_done(folder: Path, counts: Counts) -> None:
    """Writes what was made, with digests of all, into a finished part."""
    files = {file.name: file_digest(file) for file in sorted(folder.iterdir())}
    done = {"counts": counts, "files": files}
    (folder / DONE).write_text(json.dumps(done | {"seal": digest_of(done)}), encoding="utf-8")


def finished_counts(folder: Path) -> Counts | None:
    """The counts of a part, after hashing its files; None if it is not there, or not as it was written."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        done = json.loads((folder / DONE).read_bytes())
        seal = done.pop("seal")
        if seal == digest_of(done) and all(file_digest(folder / n) == digest for n, digest in done["files"].items()):
            return dict(done["counts"])
    return None


def link(file: Path, target: Path) -> None:
    """Gives a file a second name, or copies it where there are no links. Raises FileNotFoundError if it is gone."""
    try:
        os.link(file, target)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:  # a file system without links, or with too many to this file
        shutil.copyfile(file, target)


def unused(folder: Path, before: float) -> Iterator[Path]:
    """The kept parts of a stage that no build has used since a time (seconds since 1970), and empty folders of them."""
    for shelf in sorted(folder.glob("*/")):
        parts = sorted(shelf.glob("*/"))
        old = [part for part in parts if _last_used(part) < before]
        yield from [shelf] if len(old) == len(parts) and _last_used(shelf) < before else old


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: Path) -> None:
    """Removes a part in one step, so that another process does not meet half of it."""
    hidden = temporary(path)
    with suppress(OSError):  # another process did
        path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)
