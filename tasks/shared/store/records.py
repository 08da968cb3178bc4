"""The record of each run: `runs/<id>.json` in the data folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.shared.errors import InputError
from tasks.shared.files import listed, write_text
from tasks.shared.store.artifacts import Artifact, Store
from tasks.shared.store.fingerprint import Recipe, differences


class StageRecord(BaseModel):
    """The result of one stage in one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    status: Literal["reused", "built"]
    rows: int
    seconds: float
    """Wall time in this run, check and verification included."""
    bytes: int
    path: str
    fingerprint: str
    reasons: list[str]
    """Why it was built: the ingredients that changed, from what to what."""
    inputs: dict[str, str] = {}
    """Fingerprint of each input, by name; empty in the records of earlier versions."""
    parts: str = ""
    """How many of its parts were made and how many kept, in words; empty if it was reused, or has none."""


class RunRecord(BaseModel):
    """One run, from its settings to its result."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[\w-]+$")
    flow: str
    started: str
    status: Literal["running", "completed", "failed", "interrupted"] = "running"
    """The file of a killed run still says "running"; it is shown as interrupted."""
    seconds: float = 0.0
    message: str = ""
    settings: dict[str, Any]
    stages: list[StageRecord] = []
    metrics: dict[str, Any] | None = None
    current_stage: str = ""
    """The stage that is running, or the last one."""
    current_reasons: list[str] = []
    """Why that stage is being built; empty once it is done."""
    decision: str = ""
    """What happened to the champion, in a sentence."""
    quarantine: str = ""
    """Folder of the artifact whose check stopped the run."""

    def save(self, store: Store) -> None:
        """Writes the record, replacing the one before."""
        write_text(runs_folder(store) / f"{self.id}.json", self.model_dump_json(indent=1) + "\n")


def run_lock(store: Store, run_id: str) -> FileLock:
    """The lock that a run holds until it ends, which distinguishes a running run from a killed one."""
    return store.lock(f"run-{run_id}")


def running(store: Store) -> Iterator[RunRecord]:
    """The runs in progress, on any machine that shares the data folder's locks."""
    return (record for record in all_runs(store) if record.status == "running" and is_held(store, record.id))


def is_held(store: Store, run_id: str) -> bool:
    """Whether the run's lock is held; that of a killed run is not."""
    try:
        with run_lock(store, run_id).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # storage that this process may only read
        return _is_locked(store.root / ".locks" / f"run-{run_id}.lock")


def _is_locked(path: Path) -> bool:
    """The same without writing."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file
        return False
    return False


def runs_folder(store: Store) -> Path:
    """The folder of the records."""
    return store.root / "runs"


def all_runs(store: Store) -> Iterator[RunRecord]:
    """Every run with a readable record, newest first."""
    for path in reversed(listed(runs_folder(store), "*.json")):
        try:
            yield RunRecord.model_validate_json(path.read_bytes())
        except ValidationError:
            continue


def find_run(store: Store, run_id: str | None) -> RunRecord:
    """The run whose id starts with `run_id`, or the newest one."""
    for record in all_runs(store):
        if run_id is None or record.id.startswith(run_id):
            return record
    problem = "no run yet" if run_id is None else f"no run {run_id!r}"
    raise InputError(f"{runs_folder(store)}: {problem}; `corpusflow runs` lists them, `corpusflow run` starts one")


def why_built(recipe: Recipe, before: Artifact | None, damage: str | None) -> list[str]:
    """The reasons for building an artifact, given the stage's newest one and the damage to this one."""
    if damage is not None:
        return [f"damaged: {damage}"]
    if before is None:
        return ["first time: the stage has no artifact yet"]
    return differences(before.recipe, recipe) or ["its artifact was removed"]
