"""The specification that every process of a distributed training reads: a JSON file in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class LaunchSpec:
    """A distributed training, as plain JSON values."""

    folder: str
    """The specification's folder, in which the processes also find each other."""
    settings: Mapping[str, Any]
    tokens: str
    checkpoints: str
    identity: Mapping[str, Any]
    """The checkpoints' identity, see checkpoint.py."""
    processes: int
    worker: str
    """The module that each process runs."""

    @classmethod
    def read(cls, path: str) -> Self:
        """The specification in a file that `write` made."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def write(self) -> Path:
        """Writes the specification; returns its path."""
        path = self.file("spec.json")
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    def file(self, name: str) -> Path:
        """The path of a file in the specification's folder."""
        return Path(self.folder, name)
