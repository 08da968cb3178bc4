"""What the site shows, read once: runs, champion, artifacts. Whatever cannot be read is left out or named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from tasks.shared.errors import ArtifactError, one_line
from tasks.shared.files import listed
from tasks.shared.store.artifacts import MANIFEST, Artifact, Store, read_manifest
from tasks.shared.store.champion import MODELS, Champion, champion_folder, read_champion
from tasks.shared.store.records import RunRecord, StageRecord, all_runs, is_held

FAULTS = (ArtifactError, OSError, ValueError, LookupError, TypeError, pa.ArrowException)
"""What reading an artifact that is damaged, pruned or of another version can raise."""
_QUARANTINE = re.compile(r"; see (.+)/quarantine\.json$")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Frame:
    """What surrounds every page: the pipeline's name, its stages in order, and the default settings."""

    name: str
    stages: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)


class Entry(NamedTuple):
    """A committed artifact: its manifest, or why it cannot be read."""

    path: Path
    manifest: Artifact | None
    fault: str


class Tried(NamedTuple):
    """A value, or why there is none."""

    value: Any
    problem: str = ""


@dataclass
class Shelf:
    """The data folder as the site sees it."""

    store: Store
    frame: Frame
    _entries: dict[Path, Entry] = field(default_factory=dict)

    @cached_property
    def records(self) -> list[RunRecord]:
        """The runs with a readable record, newest first, folds of a cross-validation aside."""
        records = [record for record in all_runs(self.store) if record.flow != "fold"]
        for record in records:
            if record.status == "running" and not is_held(self.store, record.id):
                record.status = "interrupted"
        return records

    @cached_property
    def read_champion(self) -> Tried:
        """The champion, None if there is none; or why it cannot be read."""
        return attempt(read_champion, self.store)

    @property
    def champion(self) -> Champion | None:
        """The champion; None if there is none, or if it cannot be read."""
        champion: Champion | None = self.read_champion.value
        return champion

    @cached_property
    def folders(self) -> dict[str, str]:
        """The folder of each stage, from the runs' records."""
        found: dict[str, str] = {}
        for record in self.records:
            for entry in record.stages:
                found.setdefault(entry.stage, folder_of(entry))
        return dict(sorted(found.items(), key=lambda item: item[1]))

    @cached_property
    def latest(self) -> dict[str, str]:
        """The fingerprint of each stage's newest artifact."""
        links = {stage: self.store.root / folder / "latest" for stage, folder in self.folders.items()}
        return {stage: link.readlink().name for stage, link in links.items() if link.is_symlink() and link.exists()}

    @cached_property
    def present(self) -> dict[str, set[str]]:
        """The fingerprints of each stage's artifacts that are there."""
        return {stage: {path.name for path in self.store.all(folder)} for stage, folder in self.folders.items()}

    def entry(self, path: Path) -> Entry:
        """The artifact in a folder."""
        if path not in self._entries:
            read = attempt(read_manifest, path)
            self._entries[path] = Entry(path, read.value, read.problem)
        return self._entries[path]

    def of_stage(self, stage: str, fingerprint: str) -> Entry:
        """An artifact of a stage, by its fingerprint."""
        return self.entry(self.store.place(self.folders.get(stage, stage), fingerprint))

    def in_lineage(self, of: Artifact, stage: str) -> Entry | None:
        """The artifact of an earlier stage that an artifact was made from; None if it was made from none."""
        made = of.lineage.get(stage)
        fingerprint = made.get("fingerprint") if isinstance(made, Mapping) else None
        return None if fingerprint is None else self.of_stage(stage, str(fingerprint))

    def champions(self, stage: str) -> Entry | None:
        """The artifact of a stage that the champion was made from."""
        if self.champion is None:
            return None
        model = self.entry(self.store.place(MODELS, self.champion.current.model)).manifest
        return None if model is None else self.in_lineage(model, stage)

    def run_of(self, run_id: str | None) -> RunRecord | None:
        """The run with this id."""
        return next((record for record in self.records if record.id == run_id), None)


def attempt(function: Callable[..., Value], *arguments: Any) -> Tried:
    """Calls a function that reads an artifact; its error becomes a sentence."""
    try:
        return Tried(function(*arguments))
    except FAULTS as error:
        return Tried(None, one_line(error) or type(error).__name__)


def folder_of(entry: StageRecord) -> str:
    """Name of the stage's folder in the data folder."""
    return Path(entry.path).parent.name


def model_of(record: RunRecord) -> StageRecord | None:
    """The model that a run made or reused."""
    return next((entry for entry in record.stages if folder_of(entry) == MODELS), None)


def quarantine_of(record: RunRecord) -> Path | None:
    """The folder in which the artifact lies whose check stopped the run."""
    found = _QUARANTINE.search(record.message)
    where = record.quarantine or (found[1] if found else "")
    return Path(where) if where else None


def stamp(path: Path) -> list[int] | None:
    """Changes whenever a file does: time and size; None if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]


def artifact_stamp(shelf: Shelf, stage: str, path: Path) -> list[Any]:
    """Changes whenever an artifact or the results of its check do."""
    return [path.name, stamp(path / MANIFEST), stamp(shelf.store.check_results(stage, path.name))]


def champion_stamp(shelf: Shelf) -> list[Any]:
    """Changes whenever the champion does."""
    files = listed(champion_folder(shelf.store), "*.json")
    return [shelf.read_champion.problem, *([file.name, stamp(file)] for file in files)]
