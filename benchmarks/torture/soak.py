"""Many scheduled runs in a row while texts arrive, with pruning; and runs with too little memory."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.launcher import Done, Launcher
from benchmarks.torture.server import Server
from benchmarks.torture.state import one_line
from benchmarks.torture.texts import write_corpus

RUNS, MEMORY = 200, 8
SOAK = "scheduled runs in a row while texts arrive, pruned: disk, database, memory and file handles stay flat"
LIMITED = "a run with too little memory (RLIMIT_AS): done, one line, or aborted by a library; the next run is right"
PRUNE_EVERY, TEXTS_EVERY = 10, 20
ALLOWANCE = 25
"""MiB or numbers: the artifacts of the first change of texts come on top of those of none."""
RETENTION = {
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "PT60S",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "10",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": "10",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
}
"""Seconds, not days; what is removed is that of prefect.toml."""
GROWTH = 1.5
"""Most growth from the first half's peak to the second's, of what must stay flat."""
MIB = 2**20
LEAST, STEP = 256, 32
"""MiB that a run may allocate."""


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    yield Trial(SOAK, SOAK, partial(soak, lab, max(20, round(RUNS * share))))
    for index in range(max(1, round(MEMORY * share))):
        yield Trial(LIMITED, f"{LIMITED} {index}", partial(limited, lab, index))


def soak(lab: Lab, runs: int, folder: Path, _: random.Random) -> str | None:
    """Each run is right; what was measured after each pruning is flat."""
    lab.reference(folder)
    server = Server(folder / "server", lab.base_environment | RETENTION)
    lab.stop_later(server.stop)
    server.start()
    launcher = lab.new_launcher({"PREFECT_API_URL": server.url, "PREFECT_HOME": str(folder / "home")})
    measured: list[dict[str, float]] = []
    try:
        for number in range(1, runs + 1):
            if number % TEXTS_EVERY == 0:  # the newest replace the oldest, so that the corpus does not grow
                write_corpus(folder / "texts", documents=1, seed=number)
                for label in (folder / "texts").iterdir():
                    min(label.iterdir()).unlink()
            done = launcher.run(folder, "run", "--json")
            if done.code != 0:
                return f"run {number}: code {done.code}: {done.message}"
            if number % PRUNE_EVERY == 0:
                if wrong := tidy(launcher, folder):
                    return f"after run {number}: {wrong}"
                measured.append(measure(server, folder))
    finally:
        launcher.stop()
        server.stop()
    return judge_growth(measured)


def tidy(launcher: Launcher, folder: Path) -> str | None:
    """The flow `maintenance`, two days later, so that it removes Prefect's records of all runs so far."""
    done: Done = launcher.run(folder, clock=2 * 86_400.0, maintenance={"keep": 1, "champions": 0, "days": 1})
    return None if done.code == 0 else done.message


def measure(server: Server, folder: Path) -> dict[str, float]:
    """MiB and numbers of what must not grow."""
    assert server.process
    process = Path(f"/proc/{server.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    data = [path for path in (folder / "data").rglob("*") if path.is_file() and not path.is_symlink()]
    artifacts = [path for path in data if path.relative_to(folder / "data").parts[0][:1].isdigit()]
    return {
        "MiB of Prefect's database": sum(path.stat().st_size for path in server.home.glob("prefect.db*")) / MIB,
        "result records": len(list((folder / "home/storage").glob("*"))),
        "MiB of artifacts": sum(path.stat().st_size for path in artifacts) / MIB,
        "files of artifacts": len(artifacts),
        "MiB of the server": float(status["VmRSS"].split()[0]) / 1024,
        "file handles of the server": len(list((process / "fd").iterdir())),
    }


def judge_growth(measured: list[dict[str, float]]) -> str | None:
    """Compares the second half with the first."""
    half = len(measured) // 2
    if half == 0:
        return None
    for name in measured[0]:
        first, second = (max(entry[name] for entry in part) for part in (measured[:half], measured[half:]))
        if second > GROWTH * first + ALLOWANCE:
            return f"{name}: {first:.1f}, later {second:.1f}"
    return None


def limited(lab: Lab, index: int, folder: Path, rng: random.Random) -> str | None:
    """The address space above what the process has when it starts; with less, Prefect itself cannot start a thread."""
    reference = lab.reference_run()
    reference.texts_to(folder)
    start = address_space(lab)
    more = LEAST + index * STEP
    done = lab.launcher.run(folder, "run", limits={"RLIMIT_AS": start + more * MIB})
    aborted = done.code == -signal.SIGABRT  # by native code, which has no exceptions to raise
    if done.code != 0 and not aborted and (wrong := one_line(done)):
        return f"{more} MiB more: {wrong}"
    again = lab.launcher.run(folder, "run", "--json")
    return None if again.code == 0 else f"the next run: code {again.code}: {again.message}"


def address_space(lab: Lab) -> int:
    """Bytes of address space of the process that forks."""
    status = Path(f"/proc/{lab.launcher.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmSize")).split()[1]) * 1024
