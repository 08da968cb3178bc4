"""Checkpoints: one safetensors file an epoch, written whole or not at all, the last two kept.

A file's name holds the digest of its content, so that a damaged one is known and the one before is taken. Beside the
tensors it holds facts (JSON) in its header: where training stood, and what it was trained from and with. No pickle.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tasks.shared.errors import ArtifactError, TrainingError
from tasks.shared.files import file_digest

KEPT = 2
log = logging.getLogger("corpusflow.training")


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds: tensors on the CPU, and plain JSON values."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training in `folder`.

    `identity` (flat, JSON values) is what a checkpoint must have been made with to be gone on from.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))

    def save(self, epoch: int, snapshot: Snapshot) -> Path:
        """Writes the checkpoint of an epoch beside its name, then renames it; older ones than the last two go."""
        unfinished = self.folder / f"epoch-{epoch:05d}.unfinished"
        header = {"facts": json.dumps(snapshot.facts), "identity": json.dumps(self.identity)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(dict(snapshot.tensors), unfinished, metadata=header)
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            path = self.folder / f"epoch-{epoch:05d}-{_digest(unfinished)}.safetensors"
            unfinished.replace(path)
            for old in self._files()[:-KEPT]:
                old.unlink()
        except (OSError, SafetensorError) as error:
            raise ArtifactError(
                f"{self.folder}: the checkpoint of epoch {epoch} cannot be written ({error})"
            ) from error
        return path

    def newest(self) -> Path | None:
        """The last checkpoint that is whole."""
        for path in reversed(self._files()):
            if path.stem.endswith(_digest(path)):
                return path
            log.warning("training: checkpoint %s is damaged, going back before it", path)
        return None

    def load(self) -> Snapshot | None:
        """The last whole checkpoint; None where there is none.

        Raises TrainingError if it was made with other settings, another vocabulary or other texts.
        """
        path = self.newest()
        if path is None:
            return None
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        made_with = json.loads(header["identity"])
        differences = [
            f"{key} was {made_with.get(key)!r} and is now {self.identity.get(key)!r}"
            for key in sorted(made_with.keys() | self.identity.keys())
            if made_with.get(key) != self.identity.get(key)
        ]
        if differences:
            raise TrainingError(
                f"{path}: this checkpoint is of another training: {'; '.join(differences)}; "
                "undo the change to go on with it, or delete its folder to start anew"
            )
        log.info("training: going on from checkpoint %s", path)
        return Snapshot(tensors, json.loads(header["facts"]))

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*-*.safetensors"))


def _digest(path: Path) -> str:
    try:
        return file_digest(path)[:32]
    except OSError as error:
        raise ArtifactError(f"{path}: not readable ({error}); give the right to read it, or delete it") from error
