"""Runs a stage's function over the parts of its input: those that are not kept from an earlier run."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.shared.errors import CorpusflowError, RunError, one_line
from tasks.shared.parts.beside import Beside
from tasks.shared.parts.kept import DONE, Counts, KeptParts, finished_counts, link, write_done
from tasks.shared.parts.part import Part, current_document
from tasks.shared.progress import progress
from tasks.shared.runner.calls import IN_PROCESS, Call, run_calls
from tasks.shared.runner.cores import one_thread
from tasks.shared.store.fingerprint import digest_of

SMALL_BYTES = 16 * 2**20
"""A stage takes about a second for less, and a worker 0.7 to start, so the run's own process makes such parts."""


@dataclass(frozen=True)
class Made:
    """The finished parts of a step."""

    counts: list[Counts]
    """What the function has returned, in the order of the parts."""
    _folders: Mapping[int, Path]

    def folder(self, part: Part) -> Path:
        """Where the files of a part lie; those of a kept one must not be changed."""
        return self._folders[part.number]


@dataclass(frozen=True)
class Work:
    """What a stage does with each part, and what the result depends on."""

    function: Callable[..., Counts]
    """`function(part, folder, *arguments)` fills the empty folder. It can be imported by name.

    With `beside` it gets the place of the part's table before the arguments; with `after` then the part's folder.
    """
    arguments: tuple[Any, ...]
    """Plain values."""
    columns: tuple[str, ...]
    """Those of the part that the result depends on."""
    depends_on: Mapping[str, Any] | None = None
    """What else it depends on, by names for people: settings, digests of files, never paths."""
    beside: Beside | None = None
    """A table for each part, on which it depends, too."""
    after: Made | None = None
    """The parts of an earlier step; they follow from `columns` and `depends_on`, which are those of both steps."""


def make_parts(
    stage: str, work: Work, parts: Sequence[Part], place: Path, executor: Executor, kept: KeptParts | None = None
) -> Made:
    """Calls the work's function for each part that is not kept.

    Without `kept`, every part is made, in a folder in `place`, and none is kept.
    Raises what the function raises; RunError, which names part and document, if that was not meant for people.
    """
    place.mkdir(parents=True, exist_ok=True)
    for leftover in [*place.glob("part-*"), *place.glob(".making-*")]:
        shutil.rmtree(leftover, ignore_errors=True)
    shelf = kept.open(work.function, work.depends_on or {}) if kept else None
    folders = {part.number: shelf / _key(work, part) if shelf else place / f"part-{part.number:05d}" for part in parts}
    counts: dict[int, Counts] = {}
    calls = []
    for part in parts:
        if kept and (found := kept.take(folders[part.number])) is not None:
            counts[part.number] = found
        else:
            arguments = (work.function, part, folders[part.number], _arguments(work, part))
            calls.append(Call(f"{stage} of {part}", make_part, arguments))
    making = [call.arguments[1] for call in calls]
    if kept:
        kept.count({part.number for part in parts}, {part.number for part in making})
    chosen = _chosen(executor, making)
    with one_thread() if chosen is IN_PROCESS else nullcontext():
        for call, found in progress(run_calls(chosen, calls, place / "messages"), stage, "parts", len(calls)):
            counts[call.arguments[1].number] = found
    return Made([counts[part.number] for part in parts], folders)


def collect(made: Made, parts: Sequence[Part], name: str, out: Path) -> None:
    """Gives the file `name` of each part that has written it to the dataset `out`, as its part of the same number.

    Raises RunError if one is gone.
    """
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:
        folder = made.folder(part)
        try:
            if name in json.loads((folder / DONE).read_bytes())["files"]:
                link(folder / name, out / f"part-{part.number:05d}.parquet")
        except FileNotFoundError as error:
            raise RunError(f"{error.filename}: is gone; if no other run makes the same artifact, run again") from error


def discard(scratch: Path) -> None:
    """Deletes what is not needed once the output is complete."""
    shutil.rmtree(scratch, ignore_errors=True)


def make_part(function: Callable[..., Counts], part: Part, folder: Path, arguments: tuple[Any, ...]) -> Counts:
    """Makes one part, in whatever process; if another process was faster, its files stay in `folder`."""
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        with _failure_named(part):
            counts = function(part, fresh, *arguments)
        write_done(fresh, counts)
        try:
            fresh.rename(folder)
        except OSError:
            if finished_counts(folder) is None:
                raise
        return counts
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _arguments(work: Work, part: Part) -> tuple[Any, ...]:
    beside = [work.beside.place(part)] if work.beside else []
    after = [work.after.folder(part)] if work.after else []
    return (*beside, *after, *work.arguments)


def _key(work: Work, part: Part) -> str:
    """The name of the kept part, among those of the same function and settings."""
    return digest_of([part.digest(work.columns), work.beside.digest(part) if work.beside else ""])[:32]


def _chosen(executor: Executor, parts: Sequence[Part]) -> Executor:
    small = len(parts) < 2 or sum(part.bytes for part in parts) < SMALL_BYTES
    return IN_PROCESS if small else executor


@contextmanager
def _failure_named(part: Part) -> Iterator[None]:
    token = current_document.set("")
    try:
        yield
    except (CorpusflowError, MemoryError, OSError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a library in Rust panics with one that is no Exception
        document = f"document {current_document.get()!r}: " if current_document.get() else ""
        raise RunError(
            f"{part}: {document}{type(error).__name__}: {one_line(error)}; remove that text, or report the error"
        ) from error
    finally:
        current_document.reset(token)
