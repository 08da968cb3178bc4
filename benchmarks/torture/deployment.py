"""`corpusflow serve` and its deployments: sockets, the same schedule twice, a killed worker, nights of other hours."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.torture.api import FINAL
from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.processes import descendants, kill, wait_until
from benchmarks.torture.served import Served
from benchmarks.torture.state import champion, digests, one_line_of, temporary_files
from benchmarks.torture.surface import listening
from flows.ops.housekeeping import verify_store
from tasks.shared.store.artifacts import Store

TRIALS = 1
PORTS = "`serve`: server, worker and runs listen on the loopback alone"
TWICE = "the same schedule twice at once: the runs wait for each other, what one has built the other reuses"
WORKER = "a worker and its run are killed: the run is marked as crashed, the next one continues and is right"
NIGHT = "schedules in the nights when the clock changes: each fires once, at a time that exists"
DATES = """
import json, sys
from datetime import UTC, datetime
import anyio
from prefect.server.schemas.schedules import CronSchedule
cron, zone, start = json.loads(sys.argv[1])
dates = anyio.run(CronSchedule(cron=cron, timezone=zone).get_dates, 4, datetime.fromisoformat(start))
print(json.dumps([date.astimezone(UTC).isoformat() for date in dates]))
"""
NIGHTS = {
    ("0 4 * * *", "2026-10-24"): ("24T02:00", "25T03:00", "26T03:00", "27T03:00"),
    ("0 4 * * *", "2026-03-28"): ("28T03:00", "29T02:00", "30T02:00", "31T02:00"),
    ("30 2 * * *", "2026-10-24"): ("24T00:30", "25T00:30", "26T01:30", "27T01:30"),
    ("30 2 * * *", "2026-03-28"): ("28T01:30", "29T01:30", "30T00:30", "31T00:30"),
}
"""Cron in Europe/Berlin and a first day; the day and the time in UTC at which it fires."""


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    for index in range(max(1, round(TRIALS * share))):
        yield Trial(WORKER, f"{WORKER} {index}", partial(deployed, lab))
    for (cron, day), expected in NIGHTS.items():
        yield Trial(NIGHT, f"{NIGHT}: {cron} from {day}", partial(night, lab, cron, day, expected))


def night(lab: Lab, cron: str, day: str, expected: tuple[str, ...], folder: Path, _: random.Random) -> str | None:
    """Asks Prefect's own scheduler."""
    asked = json.dumps([cron, "Europe/Berlin", f"{day}T00:00:00+00:00"])
    environment = lab.base_environment | {"PREFECT_HOME": str(folder)}
    command = [sys.executable, "-c", DATES, asked]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = tuple(date[8:16] for date in json.loads(done.stdout or "[]"))
    return None if found == expected else f"fires at {found}: {done.stderr[-200:]}"


def deployed(lab: Lab, folder: Path, rng: random.Random) -> dict[str, str | None]:
    """Three lines from one deployment, which takes a while to start."""
    served = Served(lab, folder)
    ended: dict[str, str | None] = dict.fromkeys((PORTS, TWICE, WORKER), "not reached")
    try:
        served.start()
        for what, act in ((PORTS, sockets), (TWICE, schedule_twice), (WORKER, kill_worker)):
            ended[what] = act(served, rng)
    except Exception as error:
        unreached = next(what for what in ended if ended[what] == "not reached")
        ended[unreached] = f"{type(error).__name__}: {error}"
    finally:
        served.stop()
    return ended


def sockets(served: Served, _: random.Random) -> str | None:
    """Those of `serve`, the server and the worker."""
    seen = listening(list(served.family))
    outside = sorted(address for address in seen if not address.startswith(("127.", "::1")))
    return f"listens on {outside}" if outside or not seen else None


def schedule_twice(served: Served, _: random.Random) -> str | None:
    """Two equal schedules of one deployment, due at the same time."""
    due = datetime.now(UTC) + timedelta(seconds=20)
    every = {"active": True, "schedule": {"interval": 3600, "anchor_date": due.isoformat()}}
    served.ask(f"/deployments/{served.deployment()}/schedules", [every | {"slug": "one"}, every | {"slug": "two"}])

    def due_runs() -> list[dict[str, Any]] | None:
        until = (due + timedelta(minutes=1)).isoformat()
        wanted = {"flow_runs": {"expected_start_time": {"before_": until}}}
        runs = [run for run in served.ask("/flow_runs/filter", wanted) if run["auto_scheduled"]]
        return runs if len(runs) >= 2 and all(run["state"]["type"] in FINAL for run in runs) else None

    runs = wait_until(due_runs, 600)
    if [run["state"]["type"] for run in runs] != ["COMPLETED", "COMPLETED"]:
        return f"end as {[run['state'] for run in runs]}"
    first, second = sorted(runs, key=lambda run: run["start_time"])
    if second["start_time"] < first["end_time"]:
        return "both ran at once"
    records = sorted((served.data / "runs").glob("*.json"))
    statuses = [{s["status"] for s in json.loads(path.read_text())["stages"]} for path in records]
    return None if statuses == [{"built"}, {"reused"}] else f"the stages of the runs: {statuses}"


def kill_worker(served: Served, rng: random.Random) -> str | None:
    """The worker and its run in mid-training; `serve` says so and is started again."""
    many = {"overrides": {"training": {"epochs": 4000, "batch_size": 4}}}
    run = served.run(**many)
    scratch = served.data / "06_rnn"
    wait_until(lambda: len(list(scratch.glob(".scratch-*/fold-*/epoch-*.safetensors"))) > 1, 300)
    time.sleep(rng.random())
    worker = next(pid for pid, line in served.family.items() if " worker " in line)
    kill([worker, *descendants(worker)])
    assert served.process
    if served.process.wait(120) != 1 or (wrong := one_line_of(served.err, "worker", "code -9", "worker.log")):
        return f"serve ends with code {served.process.returncode}: {wrong or served.err[-300:]}"
    served.start()
    state = served.end(run)
    if (state["type"], state["message"][:12]) != ("CRASHED", "No heartbeat"):
        return f"the killed run is {state['type']}: {state['message']}"
    state = served.end(served.run())
    if state["type"] != "COMPLETED":
        return f"the next run is {state['type']}: {state['message']}"
    damaged = [entry["damage"] for entry in verify_store(Store(served.data)) if entry["damage"]]
    if damaged or not champion(served.data) or not digests(served.data):
        return str(damaged or "no champion")
    kept = {path.name.split("-")[1] for path in scratch.glob(".scratch-*")}  # of the run that was killed
    left = [path for path in temporary_files(served.data) if not any(name in path for name in kept)]
    left = [path for path in left if not path.startswith("prefect/")]
    return f"left behind: {left[:3]}" if left else None
