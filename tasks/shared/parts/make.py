"""Runs a stage's function over the parts of its input, and keeps what is finished for the next attempt."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks.shared.errors import CorpusflowError, RunError, one_line
from tasks.shared.parts.part import Part, current_document
from tasks.shared.progress import progress
from tasks.shared.runner.calls import IN_PROCESS, Call, run_calls

SMALL_BYTES = 16 * 2**20
"""A stage takes about a second for less, and a worker 0.7 to start, so the run's own process makes such parts."""
DONE = "done.json"
Counts = dict[str, Any]
"""What a part's function returns: small, and JSON."""


def make_parts(
    stage: str,
    function: Callable[..., Counts],
    parts: Sequence[Part],
    arguments: tuple[Any, ...],
    place: Path,
    executor: Executor,
) -> list[Counts]:
    """Calls `function(part, folder, *arguments)` for each part; returns its counts, in the order of the parts.

    The function can be imported by name, and the arguments are plain. What it writes into the empty folder lies in
    `folder_of(place, part)` afterwards, whole or not at all. Parts that are there already are not made again: `place`
    is in the scratch folder of a build, which stands for one recipe and outlives an interruption.
    Raises what the function raises; RunError, which names part and document, if that was not meant for people.
    """
    place.mkdir(parents=True, exist_ok=True)
    counts = {part.number: found for part in parts if (found := _finished(folder_of(place, part))) is not None}
    calls = [
        Call(f"{stage} of {part}", make_part, (function, part, place, arguments))
        for part in parts
        if part.number not in counts
    ]
    done = run_calls(_chosen(executor, parts), calls, place / "messages")
    for call, found in progress(done, stage, "parts", len(calls)):
        counts[call.arguments[1].number] = found
    return [counts[part.number] for part in parts]


def folder_of(place: Path, part: Part) -> Path:
    """Where the files of a finished part lie."""
    return place / f"part-{part.number:05d}"


def collect(place: Path, parts: Sequence[Part], name: str, out: Path) -> None:
    """Moves the file `name` of each part that has written it to the dataset `out`, as its part of the same number.

    Raises RunError if one is gone.
    """
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:
        folder = folder_of(place, part)
        try:
            if name in json.loads((folder / DONE).read_bytes())["files"]:
                (folder / name).replace(out / f"part-{part.number:05d}.parquet")
        except FileNotFoundError as error:
            raise RunError(f"{error.filename}: is gone; if no other run makes the same artifact, run again") from error


def discard(*places: Path) -> None:
    """Deletes what is not needed once the output is complete."""
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


def make_part(function: Callable[..., Counts], part: Part, place: Path, arguments: tuple[Any, ...]) -> Counts:
    """Makes one part, in whatever process; if another one was faster, its files stay."""
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=place))
    try:
        with _failure_named(part):
            counts = function(part, fresh, *arguments)
        sizes = {file.name: file.stat().st_size for file in sorted(fresh.iterdir())}
        (fresh / DONE).write_text(json.dumps({"counts": counts, "files": sizes}), encoding="utf-8")
        made = folder_of(place, part)
        try:
            fresh.rename(made)
        except OSError:
            if _finished(made) is None:
                raise
        return counts
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _finished(folder: Path) -> Counts | None:
    """The counts of a part whose files are all there; removes what is damaged."""
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):  # not made yet, or damaged
        done = json.loads((folder / DONE).read_bytes())
        if all((folder / name).stat().st_size == size for name, size in done["files"].items()):
            return dict(done["counts"])
    shutil.rmtree(folder, ignore_errors=True)
    return None


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
