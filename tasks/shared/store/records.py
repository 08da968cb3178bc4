"""What is remembered of each run: `runs/<id>.json` in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.shared.errors import InputError
from tasks.shared.files import write_text
from tasks.shared.store.artifacts import Artifact, Store
from tasks.shared.store.fingerprint import Recipe, differences


class StageRecord(BaseModel):
    """How one stage went in one run."""

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


class RunRecord(BaseModel):
    """One run, from its settings to its result."""

    model_config = ConfigDict(extra="forbid")

    id: str
    flow: str
    started: str
    status: Literal["running", "completed", "failed", "interrupted"] = "running"
    """As written when it began or ended; a run that was killed is "running" in its file, and shown as interrupted."""
    seconds: float = 0.0
    message: str = ""
    settings: dict[str, Any]
    stages: list[StageRecord] = []
    metrics: dict[str, Any] | None = None
    at: str = ""
    """The stage at work, or the last one."""
    decision: str = ""
    """What became of the champion, in a sentence."""

    def save(self, store: Store) -> None:
        """Writes the record, replacing the one before."""
        write_text(runs_folder(store) / f"{self.id}.json", self.model_dump_json(indent=1) + "\n")


def going_on(store: Store, run_id: str) -> FileLock:
    """The lock that a run holds while it goes on, however it ends: what tells a running run from a killed one."""
    return store.lock(f"run-{run_id}")


def running(store: Store) -> Iterator[RunRecord]:
    """The runs that are going on at this moment, on any machine that shares the data folder's locks."""
    return (record for record in all_runs(store) if record.status == "running" and is_held(store, record.id))


def is_held(store: Store, run_id: str) -> bool:
    """Whether somebody holds the run's lock; nobody holds that of a run that was killed."""
    try:
        with going_on(store, run_id).acquire(timeout=0):
            return False
    except Timeout:
        return True


def runs_folder(store: Store) -> Path:
    """Where the records lie."""
    return store.root / "runs"


def all_runs(store: Store) -> Iterator[RunRecord]:
    """Every run that is remembered, the newest first; a record that cannot be read is passed over."""
    for path in sorted(runs_folder(store).glob("*.json"), reverse=True):
        try:
            yield RunRecord.model_validate_json(path.read_bytes())
        except ValidationError:
            continue


def find_run(store: Store, run_id: str | None) -> RunRecord:
    """The run of that id (or the start of one), or the newest."""
    for record in all_runs(store):
        if run_id is None or record.id.startswith(run_id):
            return record
    wanted = "no run yet" if run_id is None else f"no run {run_id!r}"
    raise InputError(f"{runs_folder(store)}: {wanted}; `corpusflow runs` lists them, `corpusflow run` starts one")


def why_built(recipe: Recipe, before: Artifact | None, damage: str | None) -> list[str]:
    """The reasons for building an artifact, given the stage's newest one and what was found wrong with this one."""
    if damage is not None:
        return [f"damaged: {damage}"]
    if before is None:
        return ["first time: the stage has no artifact yet"]
    return differences(before.recipe, recipe) or ["its artifact was removed"]
