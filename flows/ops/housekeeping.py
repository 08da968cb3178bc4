"""Verifies the artifacts of the data folder, and removes old ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import Timeout

from flows.pipeline.stages import STAGES
from tasks.shared.engine.build import JUDGED
from tasks.shared.errors import ArtifactError
from tasks.shared.parts.kept import unused
from tasks.shared.store.artifacts import PARTS, REMOVED, STAGED, Artifact, Store, find_damage, read_manifest
from tasks.shared.store.champion import MODELS, read_champion
from tasks.shared.store.records import running
from tasks.shared.store.scratch import SCRATCH


def verify_store(store: Store) -> list[dict[str, Any]]:
    """Every committed artifact with its damage (None if it is intact)."""
    found = []
    for stage in STAGES.values():
        for path in store.all(stage.folder):
            try:
                damage = find_damage(path)
            except OSError as error:
                damage = f"{error.filename or path}: cannot be read ({error.strerror})"
            if damage is not None:
                store.forget_verified(path)  # so that the next run finds it too
            found.append({"stage": stage.name, "path": str(path), "damage": damage})
    return found


def prune_store(store: Store, keep: int, dry_run: bool = False, champions: int = 3) -> list[dict[str, Any]]:
    """Removes all but the `keep` newest artifacts of each stage, and what interrupted builds left behind.

    Kept as well: the targets of `latest` links, the champion and the `champions` former champions, all that these were
    made from, the artifacts that current runs have used, and builds in progress. Of finished parts those are kept that
    the builds of the `keep` newest artifacts of their stage, or later ones, have made or used.
    """
    needed = set(_needed(store, champions))
    removed = []
    for stage in STAGES.values():
        artifacts = sorted(store.all(stage.folder), key=_age, reverse=True)
        for path in [*artifacts[keep:], *_leftovers(store, stage.folder)]:
            fingerprint = _fingerprint(path)
            if (stage.name, path.name) in needed:
                continue
            try:
                with store.lock(f"{stage.name}-{fingerprint}").acquire(timeout=0):  # a run that needs it waits
                    removed.append({"stage": stage.name, "path": str(path), "bytes": _bytes(path)})
                    if not dry_run:
                        store.forget_verified(path)
                        _remove(path)
            except Timeout:
                continue  # it is being built or verified
        removed += _prune_parts(store, stage.name, artifacts[:keep], dry_run)
    return removed


def _prune_parts(store: Store, stage: str, newest: Sequence[Path], dry_run: bool) -> list[dict[str, Any]]:
    """Removes the finished parts that were last used before the builds of the `newest` artifacts began."""
    began = [made for path in newest if (made := _began(path)) is not None]
    folder, removed = store.kept_parts(stage), 0
    old = list(unused(folder, min(began))) if began else []
    for path in old:
        removed += _bytes(path)
        if not dry_run:
            _remove(path)
    return [{"stage": f"parts of {stage}", "path": str(folder), "bytes": removed}] if old else []


def _began(path: Path) -> float | None:
    """When the build of an artifact began, in seconds since 1970; None if that is not known."""
    try:
        artifact = read_manifest(path)
        return (datetime.fromisoformat(artifact.created) - timedelta(seconds=artifact.seconds + 1)).timestamp()
    except (ArtifactError, ValueError):
        return None


def prune_quarantine(store: Store, before: datetime) -> list[dict[str, Any]]:
    """Removes what was put into quarantine before `before`."""
    removed = []
    for path in sorted((store.root / "quarantine").glob("*/")):
        if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
            removed.append({"stage": "quarantine", "path": str(path), "bytes": _bytes(path)})
            _remove(path)
    return removed


def _needed(store: Store, champions: int) -> Iterator[tuple[str, str]]:
    kept = [artifact for stage in STAGES.values() if (artifact := store.latest(stage.folder)) is not None]
    champion = read_champion(store)
    for model in champion.recent(champions) if champion else ():
        try:
            kept.append(read_manifest(store.place(MODELS, model)))
        except ArtifactError:
            yield "stacking", model  # damaged: what is left of it is kept
    kept += [judged for artifact in kept if (judged := _judged(store, artifact)) is not None]
    for artifact in kept:
        yield from ((name, entry["fingerprint"]) for name, entry in artifact.lineage.items())
    for record in running(store):
        yield from ((entry.stage, entry.fingerprint) for entry in record.stages)


def _judged(store: Store, artifact: Artifact) -> Artifact | None:
    """The model for whose verdict a training was left out; None if there is none."""
    digest = artifact.recipe.inputs.get(JUDGED)
    for path in store.all(MODELS) if digest else ():
        try:
            if (model := read_manifest(path)).digest == digest:
                return model
        except ArtifactError:
            continue
    return None


def disk_use(store: Store) -> dict[str, int]:
    """Bytes of each folder in the data folder, by name; a file that an artifact and `.parts` hold is the artifact's."""
    folders = [path for path in sorted(store.root.glob("*/")) if not path.is_symlink()]
    seen: set[tuple[int, int]] = set()
    sizes = {path.name: _bytes(path, seen) for path in sorted(folders, key=lambda path: path.name == PARTS)}
    return dict(sorted(sizes.items()))


def _leftovers(store: Store, folder: str) -> Iterator[Path]:
    for prefix in (STAGED, SCRATCH, REMOVED):
        yield from sorted((store.root / folder).glob(f"{prefix}*"))


def _fingerprint(path: Path) -> str:
    """The artifact's fingerprint, in whatever state its folder is."""
    name = path.name.removeprefix(REMOVED)
    return name.removeprefix(STAGED).removeprefix(SCRATCH).partition("-")[0]  # a process's name follows


def _age(path: Path) -> str:
    try:
        return read_manifest(path).created
    except ArtifactError:
        return ""


def _bytes(path: Path, seen: set[tuple[int, int]] | None = None) -> int:
    """Of the files in a folder but for those in `seen`, which a file with more than one name is added to."""
    total = 0
    for file in path.rglob("*"):
        if file.is_file():
            status = file.stat()
            name = status.st_dev, status.st_ino
            if seen is None or status.st_nlink == 1 or name not in seen:
                total += status.st_size
            if seen is not None and status.st_nlink > 1:
                seen.add(name)
    return total


def _remove(path: Path) -> None:
    """Hides the folder in one step, so that no reader sees half an artifact; then deletes it."""
    hidden = path.with_name(f"{REMOVED}{path.name.removeprefix(REMOVED)}")
    path.rename(hidden)
    shutil.rmtree(hidden)
