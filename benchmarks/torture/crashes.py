"""Runs that are killed or interrupted at any moment; the next run ends as an undisturbed one does."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.torture.lab import Lab, Reference, Trial
from benchmarks.torture.launcher import Done
from benchmarks.torture.processes import descendants, in_session, kill
from benchmarks.torture.state import champion, digests, one_line, temporary_files
from flows.ops.housekeeping import verify_store
from tasks.shared.store.artifacts import MANIFEST, Store

TRIALS = 50
"""Of each way to end a run."""
WAYS = {
    "a run is killed (SIGKILL)": (signal.SIGKILL, False),
    "a run is ended (SIGTERM)": (signal.SIGTERM, False),
    "Ctrl-C to the process": (signal.SIGINT, False),
    "Ctrl-C to the process group": (signal.SIGINT, True),
}
PLACES = (
    *("/01_documents", "/02_cleaned", "/03_splits", "/04_vocabulary", "/05_tokens", "/06_linear", "/06_rnn"),
    *(
        "/07_models",
        "/08_reports",
        "/09_promotions",
        "/champion/",
        "/site/",
        "/checks/training",
        "/checks/evaluation",
        "/checks/cleaning",
        "/runs/",
    ),
    *("/06_rnn/.scratch", ".artifact.json", "latest", "/champion/."),
)
"""Parts of the paths of file operations: the signal comes at a random one of those that match."""
WORKERS = "a worker process of a run is killed: one line that names what it did, and the next run is right"
WORKER_TRIALS = 10
WITH_WORKERS = ("--set", "runner.kind=processes", "--set", "runner.workers=2")
COMPUTED_BY_WORKERS = ("/06_linear", "/06_rnn")
"""Of a small corpus; parts of the other stages are made in the run's process."""
MOMENTS = (*PLACES, None, None, None)
"""None: at any time."""
FOLDERS = ("01_", "02_", "03_", "04_", "05_", "06_", "07_", "08_", "09_")
SECONDS_TO_END = 10.0
SECONDS_FOR_WORKERS = 5.0


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    """Every way at every place, and at any time."""
    for what, (number, group) in WAYS.items():
        for index in range(max(1, round(TRIALS * share))):
            place = MOMENTS[(index * 7) % len(MOMENTS)]

            def check(
                folder: Path, rng: random.Random, place: str | None = place, way: tuple[int, bool] = (number, group)
            ) -> str | None:
                return crash(lab, folder, rng, place, *way)

            yield Trial(what, f"{what} {index} at {place or 'any time'}", check)
    for index in range(max(1, round(WORKER_TRIALS * share))):
        yield Trial(WORKERS, f"{WORKERS} {index}", partial(kill_worker, lab))


def crash(lab: Lab, folder: Path, rng: random.Random, place: str | None, number: int, group: bool) -> str | None:
    """One trial: the run that is ended, what it leaves, and the next run."""
    reference, data = lab.reference(folder), folder / "data"
    keep_stages_before(data, place, rng)
    before = champion(data)
    done, waited, pid = end_a_run(lab, folder, rng, place, number, group)
    wrong = judge_end(done, number, waited) or orphans(pid)
    if wrong:
        return wrong
    if champion(data) not in {before, reference.champion}:
        return "the champion is another one"
    return judge_next(lab, folder, reference)


def judge_next(lab: Lab, folder: Path, reference: Reference) -> str | None:
    """What is wrong with the run after one that was ended."""
    data = folder / "data"
    finished = {path.name for path in data.glob("[0-9]*/[0-9a-f]*") if (path / MANIFEST).exists()}
    again = lab.launcher.run(folder, "run", "--json")
    if again.code != 0:
        return f"the next run ends with code {again.code}: {again.message}"
    return judge_data(data, reference) or judge_reuse(again, finished)


def kill_worker(lab: Lab, folder: Path, rng: random.Random) -> str | None:
    """Kills one of two worker processes at a random moment."""
    reference = lab.reference(folder)
    keep_stages_before(folder / "data", rng.choice(COMPUTED_BY_WORKERS), rng)
    command = lab.launcher.start(folder, "run", *WITH_WORKERS)
    until = time.monotonic() + 60
    workers: list[int] = []
    while not workers and time.monotonic() < until and not (command.files / "code").exists():
        workers = [pid for pid in descendants(command.pid) if "spawn_main" in command_line(pid)]
    time.sleep(rng.random() * 3)
    if workers:
        kill([rng.choice(workers)])
    done = command.wait()
    if not workers:
        return "no worker process was seen"
    wrong = None if done.code == 0 else one_line(done, "a worker process died during")
    return wrong or orphans(command.pid) or judge_next(lab, folder, reference)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def orphans(session: int) -> str | None:
    """Processes of a command that still run seconds after it."""
    until = time.monotonic() + SECONDS_FOR_WORKERS
    while left := [pid for pid in in_session(session) if command_line(pid)]:
        if time.monotonic() > until:
            return f"still runs: {command_line(left[0])[:100]}"
        time.sleep(0.1)
    return None


def keep_stages_before(data: Path, place: str | None, rng: random.Random) -> None:
    """Leaves the artifacts before the place alone, so that the run comes to it sooner."""
    prefix = next((name for name in FOLDERS if place and place.startswith(f"/{name}")), None)
    first = FOLDERS.index(prefix) if prefix else rng.choice((0, 5, 7) if place is None else (0, 4))
    if place and ("champion" in place or "evaluation" in place):
        first = 6 if "evaluation" in place else 7
    for name in FOLDERS[first:]:
        for path in data.glob(f"{name}*"):
            shutil.rmtree(path)
    shutil.rmtree(data / "checks", ignore_errors=first == 0)
    shutil.rmtree(data / "champion")


def end_a_run(
    lab: Lab, folder: Path, rng: random.Random, place: str | None, number: int, group: bool
) -> tuple[Done, float, int]:
    """The run's end, how long after the signal it came, and the run's process."""
    workers = WITH_WORKERS if place in COMPUTED_BY_WORKERS and rng.random() < 0.5 else ()
    if place is None:
        command = lab.launcher.start(folder, "run")
        time.sleep(rng.random() * 6)
        sent = time.time()
        command.signal(number, group)
        return command.wait(), time.time() - sent, command.pid
    count = len([o for o in lab.operations if place in o]) // (3 if workers else 1)
    at = (place, rng.randint(1, max(1, count)), int(number), group)
    command = lab.launcher.start(folder, "run", *workers, signal_at=at)
    done = command.wait()
    log = command.files / "operations"
    waited = (command.files / "code").stat().st_mtime - log.stat().st_mtime if log.stat().st_size else 0.0
    return done, waited, command.pid


def judge_end(done: Done, number: int, waited: float) -> str | None:
    """What is wrong with the end of the run that got the signal; it may have finished before it."""
    if done.code == 0:
        return None
    if number != signal.SIGINT:
        return None if done.code in {-number, 128 + number} else f"code {done.code} after the signal: {done.err[-600:]}"
    if done.code != 130 or "Traceback" in done.err or "interrupted" not in done.message:
        return f"code {done.code} after Ctrl-C: {done.err[-300:]}"
    return None if waited < SECONDS_TO_END else f"{waited:.0f} s after Ctrl-C"


def judge_data(data: Path, reference: Reference) -> str | None:
    """What differs from the data folder of an undisturbed run."""
    found = digests(data)
    if found != reference.digests:
        return f"other content: {sorted(k for k in reference.digests if found.get(k) != reference.digests[k])}"
    if champion(data) != reference.champion:
        return "another champion than after an undisturbed run"
    left = temporary_files(data)
    if left:
        return f"left behind: {left[:3]}"
    damaged = [entry["damage"] for entry in verify_store(Store(data)) if entry["damage"]]
    return damaged[0] if damaged else None


def judge_reuse(again: Done, finished: set[str]) -> str | None:
    """A stage that was finished before and is built again."""
    twice = [s["stage"] for s in again.json["stages"] if s["status"] == "built" and Path(s["path"]).name in finished]
    return f"built again: {twice}" if twice else None
