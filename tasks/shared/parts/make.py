"""Runs a stage's function over the parts of its input: those that are not kept from an earlier run."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.shared.errors import CorpusflowError, RunError, one_line
from tasks.shared.parts.beside import Beside, Place
from tasks.shared.parts.kept import DONE, Counts, KeptParts, finished_counts, link, write_done
from tasks.shared.parts.part import Part, current_document
from tasks.shared.progress import progress
from tasks.shared.runner.calls import IN_PROCESS, Call, run_calls
from tasks.shared.runner.cores import one_thread
from tasks.shared.store.fingerprint import digest_of

SMALL_BYTES = 16 * 2**20
"""A stage takes about a second for less, and a worker 0.7 to start, so the run's own process makes such parts."""


@dataclass(frozen=True)
class Work:
    """What a stage does with each part, and what the result depends on."""

    function: Callable[..., Counts]
    """`function(part, folder, *arguments)` fills the empty folder. It can be imported by name.

    With `beside` it is `function(part, folder, rows, *arguments)`, and gets the part's table.
    """
    arguments: tuple[Any, ...]
    """Plain values."""
    columns: tuple[str, ...]
    """Those of the part that the result depends on."""
    depends_on: Mapping[str, Any] | None = None
    """What else it depends on, by names for people: settings, digests of files, never paths."""
    beside: Beside | None = None
    """A table for each part, on which it depends, too."""


def make_parts(
    stage: str, work: Work, parts: Sequence[Part], place: Path, executor: Executor, kept: KeptParts | None = None
) -> list[Counts]:
    """Calls the work's function for each part that is not kept; returns the counts of all, in the order of the parts.

    The files of a part lie in `folder_of(place, part)` afterwards, which is a link to the kept part. Without `kept`,
    every part is made and none is kept.
    Raises what the function raises; RunError, which names part and document, if that was not meant for people.
    """
    place.mkdir(parents=True, exist_ok=True)
    _clear(place)
    counts: dict[int, Counts] = {}
    shelf = kept.open(work.function, work.depends_on or {}) if kept else None
    calls = []
    for part in parts:
        target = shelf / _key(work, part) if shelf else None
        if kept and target and (found := kept.take(target)) is not None:
            counts[part.number] = found
            _show(target, folder_of(place, part))
        else:
            beside = work.beside.place(part) if work.beside else None
            arguments = (work.function, part, place, target, beside, work.arguments)
            calls.append(Call(f"{stage} of {part}", make_part, arguments))
    making = [call.arguments[1] for call in calls]
    if kept:
        kept.count({part.number for part in parts}, {part.number for part in making})
    chosen = _chosen(executor, making)
    with one_thread() if chosen is IN_PROCESS else nullcontext():
        for call, found in progress(run_calls(chosen, calls, place / "messages"), stage, "parts", len(calls)):
            counts[call.arguments[1].number] = found
    return [counts[part.number] for part in parts]


def folder_of(place: Path, part: Part) -> Path:
    """Where the files of a finished part lie."""
    return place / f"part-{part.number:05d}"


def collect(place: Path, parts: Sequence[Part], name: str, out: Path) -> None:
    """Gives the file `name` of each part that has written it to the dataset `out`, as its part of the same number.

    Raises RunError if one is gone.
    """
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:
        folder = folder_of(place, part)
        try:
            if name in json.loads((folder / DONE).read_bytes())["files"]:
                link(folder / name, out / f"part-{part.number:05d}.parquet")
        except FileNotFoundError as error:
            raise RunError(f"{error.filename}: is gone; if no other run makes the same artifact, run again") from error


def discard(scratch: Path) -> None:
    """Deletes what is not needed once the output is complete."""
    shutil.rmtree(scratch, ignore_errors=True)


def make_part(
    function: Callable[..., Counts],
    part: Part,
    place: Path,
    kept: Path | None,
    beside: Place | None,
    arguments: tuple[Any, ...],
) -> Counts:
    """Makes one part, in whatever process, and keeps it as `kept`; if another one was faster, its files stay."""
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=kept.parent if kept else place))
    made = kept or folder_of(place, part)
    try:
        with _failure_named(part):
            counts = function(part, fresh, *((beside.read(),) if beside else ()), *arguments)
        write_done(fresh, counts)
        try:
            fresh.rename(made)
        except OSError:
            if finished_counts(made) is None:
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if kept:
        _show(kept, folder_of(place, part))
    return counts


def _show(kept: Path, folder: Path) -> None:
    """Lets `folder` be the kept part."""
    with suppress(FileExistsError):  # of two attempts the first was not dead
        folder.symlink_to(kept.absolute(), target_is_directory=True)


def _clear(place: Path) -> None:
    """Removes the parts of a run that was interrupted."""
    for leftover in [*place.glob("part-*"), *place.glob(".making-*")]:
        if leftover.is_symlink():
            leftover.unlink()
        else:
            shutil.rmtree(leftover, ignore_errors=True)


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
