"""Keeps the data folder in order: verifies artifacts, removes old ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flows.stages import STAGES
from tasks.shared.artifacts import SCRATCH, STAGED, Store, damage, read_manifest
from tasks.shared.errors import ArtifactError


def verify_store(store: Store) -> list[dict[str, Any]]:
    """Every committed artifact, with what is wrong with it (None when it is whole)."""
    return [
        {"stage": stage.name, "path": str(path), "damage": damage(path)}
        for stage in STAGES.values()
        for path in store.all(stage.folder)
    ]


def prune_store(store: Store, keep: int, dry_run: bool = False) -> list[dict[str, Any]]:
    """Removes all but the `keep` newest artifacts of each stage, and what interrupted builds left behind.

    What a `latest` link points at stays, and so does all that it was made from. A build that is going on is left alone.
    """
    needed = set(_needed(store))
    removed = []
    for stage in STAGES.values():
        artifacts = sorted(store.all(stage.folder), key=_age, reverse=True)
        for path in [*artifacts[keep:], *_leftovers(store, stage.folder)]:
            fingerprint = path.name.removeprefix(STAGED).removeprefix(SCRATCH)
            if (stage.name, path.name) in needed or _being_built(store, stage.name, fingerprint):
                continue
            removed.append({"stage": stage.name, "path": str(path), "bytes": _bytes(path)})
            if not dry_run:
                _remove(path)
    return removed


def _needed(store: Store) -> Iterator[tuple[str, str]]:
    for stage in STAGES.values():
        artifact = store.latest(stage.folder)
        if artifact is not None:
            yield from ((name, entry["fingerprint"]) for name, entry in artifact.lineage.items())


def _leftovers(store: Store, folder: str) -> Iterator[Path]:
    for prefix in (STAGED, SCRATCH):
        yield from sorted((store.root / folder).glob(f"{prefix}*"))


def _being_built(store: Store, stage: str, fingerprint: str) -> bool:
    path = store.root / ".locks" / f"{stage}-{fingerprint}.lock"
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _age(path: Path) -> str:
    try:
        return read_manifest(path).created
    except ArtifactError:
        return ""


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _remove(path: Path) -> None:
    """Out of sight in one step, so that no reader meets half an artifact; then deleted."""
    hidden = path.with_name(f".removed-{path.name}")
    path.rename(hidden)
    shutil.rmtree(hidden)
