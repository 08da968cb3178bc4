"""The scratch folder of a build: what its calls hand to each other, and what an interrupted build leaves to the next.

Each process has one of its own. Without locks between two machines both make the same artifact at the same time, and
one must not remove or overwrite what the other reads.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tasks.shared.files import is_abandoned, process_name, replacing

SCRATCH = ".scratch-"


def scratch_folder(parent: Path, fingerprint: str) -> Path:
    """This process's scratch folder of an artifact."""
    return parent / f"{SCRATCH}{fingerprint}-{process_name()}"


def open_scratch(parent: Path, fingerprint: str, resumes_from: Iterable[str]) -> Path:
    """This process's scratch folder, made if it is not there.

    Files that match `resumes_from` are copied from those of other processes, ended or not, on any machine: they appear
    whole and never change. What ended processes of this machine left is removed then.
    """
    own = scratch_folder(parent, fingerprint)
    own.mkdir(exist_ok=True)
    for other in sorted(parent.glob(f"{SCRATCH}{fingerprint}-*")):
        if other == own:
            continue
        for pattern in resumes_from:
            for file in sorted(other.glob(pattern)):
                _copy(file, own / file.relative_to(other))
        if is_abandoned(other.name):
            shutil.rmtree(other, ignore_errors=True)
    return own


def remove_scratch(parent: Path, fingerprint: str) -> None:
    """Removes this process's scratch folder of an artifact, and those of ended processes of this machine."""
    own = scratch_folder(parent, fingerprint)
    for path in parent.glob(f"{SCRATCH}{fingerprint}-*"):
        if path == own or is_abandoned(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _copy(file: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError), replacing(target) as fresh:  # its owner replaces old ones by new ones
        shutil.copyfile(file, fresh)
