"""Artifacts: folders that are complete or absent, and immutable.

A process writes into a staging folder of its own next to the artifact's final path; once the artifact has passed its
check, the folder is renamed to that path. Two processes that make the same artifact write the same bytes, and the first
rename counts, whether locks work between their machines or not. `artifact.json` in each says what it was made from and
lists every file with its sha256.
"""

from __future__ import annotations

import errno
import fnmatch
import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.shared.errors import ArtifactError, first_problem
from tasks.shared.files import file_digest, is_abandoned, process_name, replacing, write_text
from tasks.shared.store.fingerprint import Recipe, digest_of
from tasks.shared.store.known_files import KnownFiles, Verify
from tasks.shared.store.scratch import remove_scratch

MANIFEST, SEAL = "artifact.json", "seal"
VERIFIED = ".verified"
"""Folder of the records of which files were hashed, and how they were then."""
PARTS = ".parts"
"""Folder of the finished parts of stages (tasks/shared/parts/kept.py)."""
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
STAGED, REMOVED = ".staged-", ".removed-"


class FileRecord(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int
    rows: int | None = None


class Artifact(BaseModel):
    """A stage's output, as recorded in `artifact.json` and in Prefect's cache: small, and without absolute paths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    folder: str
    fingerprint: str
    digest: str
    """Digest of the content: equal for equal content, whatever the recipe was."""
    rows: int
    bytes: int
    seconds: float
    created: str
    summary: dict[str, Any]
    recipe: Recipe
    lineage: dict[str, Any]
    """Settings and fingerprint of this stage and of every stage before it."""
    files: dict[str, FileRecord]


class _Sealed(Artifact):
    """A manifest as it stands in the file: with a digest of the rest, which manifests of earlier versions lack."""

    seal: str | None = None


class Store:
    """The data folder: finds, verifies, commits and removes artifacts."""

    def __init__(self, root: Path, verify: Verify = "hash") -> None:
        self.root, self.verify = root, verify

    def known_files(self, name: str) -> KnownFiles:
        """The digests of files that this data folder remembers under a name; none if it verifies by hashing."""
        return KnownFiles(self.root / VERIFIED / f"{name}.json" if self.verify == "stat" else None)

    def find_damage(self, path: Path) -> str | None:
        """As the function `find_damage`; with `verify: stat`, files that did not change since are not hashed again."""
        known = self.known_files(f"{path.parent.name}/{path.name}")
        fault = find_damage(path, known)
        if fault is None:
            known.save()
        else:
            known.forget()
        return fault

    def forget_verified(self, path: Path) -> None:
        """Has the next run hash every file of an artifact."""
        KnownFiles(self.root / VERIFIED / path.parent.name / f"{path.name}.json").forget()

    def place(self, folder: str, fingerprint: str) -> Path:
        """The folder of a committed artifact."""
        return self.root / folder / fingerprint

    def staging(self, folder: str, fingerprint: str) -> Path:
        """Where this process writes and checks an artifact; another one that makes the same has a folder of its own."""
        return self.root / folder / f"{STAGED}{fingerprint}-{process_name()}"

    def abandoned(self, folder: str, fingerprint: str) -> list[Path]:
        """What processes of this machine that have ended left of the artifact."""
        found = sorted((self.root / folder).glob(f"{STAGED}{fingerprint}-*"))
        return [path for path in found if is_abandoned(path.name)]

    def kept_parts(self, stage: str) -> Path:
        """Where finished parts of a stage are kept for later builds."""
        return self.root / PARTS / stage

    def locate(self, artifact: Artifact) -> Path:
        """The artifact's folder: committed, or still in staging."""
        place = self.place(artifact.folder, artifact.fingerprint)
        return place if place.exists() else self.staging(artifact.folder, artifact.fingerprint)

    def check_results(self, stage: str, fingerprint: str) -> Path:
        """Where the results of an artifact's check are kept."""
        return self.root / "checks" / stage / f"{fingerprint}.json"

    def lock(self, name: str) -> FileLock:
        """A lock between processes on the data folder, free until it is acquired."""
        path = self.root / ".locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    def seal(self, path: Path, artifact: Artifact) -> None:
        """Writes the manifest, with a digest of itself; from here on the folder's content is fixed."""
        values = json.loads(artifact.model_dump_json())
        write_text(path / MANIFEST, json.dumps(values | {SEAL: digest_of(values)}, indent=1, ensure_ascii=False) + "\n")

    def commit(self, artifact: Artifact) -> Path:
        """Renames a staged artifact into place; returns its folder.

        If another process has put the same artifact there, the staged one is removed.
        """
        place = self.place(artifact.folder, artifact.fingerprint)
        staged = self.staging(artifact.folder, artifact.fingerprint)
        try:
            staged.rename(place)
        except OSError:
            if not place.exists():
                raise
            shutil.rmtree(staged, ignore_errors=True)
        remove_scratch(place.parent, artifact.fingerprint)
        return place

    def point_latest(self, artifact: Artifact) -> None:
        """Moves the stage's `latest` link to this artifact, in one step."""
        link = self.root / artifact.folder / "latest"
        with replacing(link) as fresh:
            fresh.symlink_to(artifact.fingerprint)

    def latest(self, folder: str) -> Artifact | None:
        """The newest artifact of a stage, or None; raises ArtifactError if its manifest is damaged or missing."""
        link = self.root / folder / "latest"
        if not link.exists():  # nothing was made yet, or the folder that it leads to was deleted
            return None
        try:
            return read_manifest(link.parent / link.readlink())
        except ArtifactError as error:
            raise ArtifactError(f"{error}; delete its folder and run again") from error

    def all(self, folder: str) -> Iterator[Path]:
        """The folders of all committed artifacts of a stage."""
        parent = self.root / folder
        if parent.is_dir():
            yield from (p for p in sorted(parent.iterdir()) if not p.is_symlink() and not p.name.startswith("."))

    def quarantine(self, path: Path, why: dict[str, Any]) -> Path:
        """Moves an artifact to `quarantine/` and writes the reason into it; returns its new path."""
        shelf = self.root / "quarantine"
        shelf.mkdir(parents=True, exist_ok=True)
        name = f"{path.parent.name}-{path.name.removeprefix(STAGED).partition('-')[0]}"
        for number in count():
            target = shelf / (f"{name}-{number}" if number else name)
            if target.exists():
                continue
            try:
                path.rename(target)
                break
            except OSError as error:
                if error.errno not in TAKEN:  # by another process, meanwhile
                    raise
        write_text(target / "quarantine.json", json.dumps(why, indent=1, ensure_ascii=False) + "\n")
        return target


def describe(path: Path) -> dict[str, FileRecord]:
    """Every file of an artifact, by its path inside the folder, with sha256, size and (for Parquet) rows."""
    return {
        file.relative_to(path).as_posix(): FileRecord(
            sha256=file_digest(file),
            bytes=file.stat().st_size,
            rows=pq.read_metadata(file).num_rows if file.suffix == ".parquet" else None,
        )
        for file in _files(path)
    }


def content_digest(files: dict[str, FileRecord], volatile: Iterable[str]) -> str:
    """Digest of an artifact's content; files that match a `volatile` pattern (timings) do not count."""
    patterns = tuple(volatile)
    return digest_of(
        {n: f.sha256 for n, f in files.items() if not any(fnmatch.fnmatch(n, pattern) for pattern in patterns)}
    )


def find_damage(path: Path, known: KnownFiles | None = None) -> str | None:
    """What is wrong with an artifact, or None if it is intact; hashes every file that is not in `known`."""
    known = known or KnownFiles()
    try:
        manifest = read_manifest(path)
    except ArtifactError as error:
        return str(error)
    there = {file.relative_to(path).as_posix(): file for file in _files(path)}
    for name, record in manifest.files.items():
        if name not in there:
            return f"{path / name}: missing"
        if there[name].stat().st_size != record.bytes or known.digest(there[name], name) != record.sha256:
            return f"{path / name}: content differs from what was written"
    stray = sorted(there.keys() - manifest.files.keys())
    return f"{path / stray[0]}: not part of the artifact" if stray else None


def read_manifest(path: Path) -> Artifact:
    """The manifest of an artifact; raises ArtifactError if it is missing or invalid."""
    manifest = path / MANIFEST
    try:
        content = manifest.read_bytes()
        sealed = _Sealed.model_validate_json(content)
    except OSError as error:
        raise ArtifactError(f"{manifest}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise ArtifactError(f"{manifest}: not a manifest ({first_problem(error)})") from error
    values = json.loads(content)
    if values.pop(SEAL, None) not in {None, digest_of(values)}:
        raise ArtifactError(f"{manifest}: content differs from what was written")
    return Artifact.model_validate(sealed.model_dump(exclude={SEAL}))


def now() -> str:
    """The current time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _files(path: Path) -> list[Path]:
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.relative_to(path).as_posix() != MANIFEST)
    for file in files:
        if file.is_symlink():
            raise ArtifactError(f"{file}: an artifact holds no links")
    return files
