"""Faults of Prefect: a server that dies, a database that is locked or damaged, a proxy that fails calls."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.torture.crashes import judge_data
from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.launcher import Done
from benchmarks.torture.proxy import FaultyProxy
from benchmarks.torture.server import Server
from benchmarks.torture.state import one_line

KILLED, LOCKED, PROXIED, DAMAGED = 3, 3, 4, 4
SERVER = "the server is killed in mid-run, and started again or not: done or one line, and the next run is right"
DATABASE = "Prefect's SQLite database is locked for seconds in mid-run: done or one line, and the next run is right"
CALLS = "a proxy answers 500 or nothing to one call in ten: done or one line, and the next run is right"
FILE = "the database of the temporary server is damaged: the run works, or one line"
SECONDS = 300


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    for index in range(max(1, round(KILLED * share))):
        yield Trial(SERVER, f"{SERVER} {index}", partial(server_killed, lab, index % 3 != 2))
    for index in range(max(1, round(LOCKED * share))):
        yield Trial(DATABASE, f"{DATABASE} {index}", partial(locked, lab))
    for index in range(max(1, round(PROXIED * share))):
        yield Trial(CALLS, f"{CALLS} {index}", partial(proxied, lab, ("500", "nothing")[index % 2], index))
    for index in range(max(1, round(DAMAGED * share))):
        yield Trial(FILE, f"{FILE} {index}", partial(damaged, lab, index))


def judge(lab: Lab, folder: Path, done: Done) -> str | None:
    """The run is done or ends in one line that names Prefect; the next one ends as an undisturbed one."""
    if done.code != 0 and (wrong := one_line(done, "prefect")):
        return wrong
    again = lab.launcher.run(folder, "run", "--json")
    if again.code != 0:
        return f"the next run ends with code {again.code}: {again.message}"
    return judge_data(folder / "data", lab.reference_run())


def server_killed(lab: Lab, restart: bool, folder: Path, rng: random.Random) -> str | None:
    """A server of the trial's own."""
    lab.reference_run().texts_to(folder)
    server = Server(folder / "server", lab.base_environment)
    lab.stop_later(server.stop)
    server.start()
    launcher = lab.new_launcher({"PREFECT_API_URL": server.url})
    try:
        command = launcher.start(folder, "run")
        time.sleep(rng.random() * 5)
        server.kill()
        if restart:
            server.start()
        return judge(lab, folder, command.wait(SECONDS))
    finally:
        launcher.stop()
        server.stop()


def locked(lab: Lab, folder: Path, rng: random.Random) -> str | None:
    """Another process holds the shared server's database."""
    lab.reference_run().texts_to(folder)
    command = lab.launcher.start(folder, "run")
    time.sleep(rng.random() * 4)
    with sqlite3.connect(lab.root / "server/prefect.db", timeout=60, isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(1 + rng.random() * 4)
        database.execute("ROLLBACK")
    return judge(lab, folder, command.wait(SECONDS))


def proxied(lab: Lab, how: str, seed: int, folder: Path, _: random.Random) -> str | None:
    """The shared server behind a proxy."""
    lab.reference_run().texts_to(folder)
    proxy = FaultyProxy(int(lab.server.rpartition(":")[2].partition("/")[0]), how, seed)
    launcher = lab.new_launcher({"PREFECT_API_URL": proxy.url})
    try:
        done = launcher.run(folder, "run", seconds=SECONDS)
        if not proxy.faults:
            return "the proxy failed no call"
        return judge(lab, folder, done)
    finally:
        launcher.stop()
        proxy.stop()


def damaged(lab: Lab, index: int, folder: Path, rng: random.Random) -> str | None:
    """A run that starts a temporary server on such a database."""
    lab.reference_run().texts_to(folder)
    home = folder / "home"
    home.mkdir()
    noise = rng.randbytes(4096)
    content = (noise, b"", b"SQLite format 3\0" + noise, (lab.root / "server/prefect.db").read_bytes()[:20_000])
    (home / "prefect.db").write_bytes(content[index % len(content)])
    launcher = lab.new_launcher({"PREFECT_HOME": str(home)})
    try:
        return judge(lab, folder, launcher.run(folder, "run", seconds=SECONDS))
    finally:
        launcher.stop()
