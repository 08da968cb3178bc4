"""Checkpoints: one safetensors file per epoch, written atomically, of which the last two are kept.

A file's name contains the digest of its content: a damaged file is recognised, and the previous one is loaded. The
header holds JSON next to the tensors: the state of the training, and what identifies the training. No pickle.
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
    """Contents of a checkpoint: tensors on the CPU, and JSON values."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training in `folder`.

    `identity` (flat, JSON values) must equal that of a checkpoint to resume from.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))

    def save(self, epoch: int, snapshot: Snapshot) -> Path:
        """Writes the checkpoint of an epoch under a temporary name, renames it, and deletes all but the last two."""
        unfinished = self.folder / f"epoch-{epoch:05d}.unfinished"
        header = {"state": json.dumps(snapshot.state), "identity": json.dumps(self.identity)}
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
        """The last intact checkpoint."""
        for path in reversed(self._files()):
            if path.stem.endswith(_digest(path)):
                return path
            log.warning("training: checkpoint %s is damaged, using the previous one", path)
        return None

    def load(self) -> Snapshot | None:
        """The last intact checkpoint; None without one.

        Raises TrainingError if its settings, vocabulary or texts differ.
        """
        path = self.newest()
        if path is None:
            return None
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        identity = json.loads(header["identity"])
        differences = [
            f"{key} was {identity.get(key)!r} and is now {self.identity.get(key)!r}"
            for key in sorted(identity.keys() | self.identity.keys())
            if identity.get(key) != self.identity.get(key)
        ]
        if differences:
            raise TrainingError(
                f"{path}: this checkpoint belongs to another training: {'; '.join(differences)}; "
                "undo the change to resume it, or delete its folder to start over"
            )
        log.info("training: resuming from checkpoint %s", path)
        return Snapshot(tensors, json.loads(header["state"]))

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*-*.safetensors"))


def _digest(path: Path) -> str:
    try:
        return file_digest(path)[:32]
    except OSError as error:
        raise ArtifactError(f"{path}: not readable ({error}); make it readable, or delete it") from error
