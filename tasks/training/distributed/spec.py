"""What the processes that train together are told: a JSON file in a folder that goes when they have ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Order:
    """A training by several processes; all values are plain JSON."""

    folder: str
    """Of the order itself; the processes meet there."""
    settings: Mapping[str, Any]
    tokens: str
    checkpoints: str
    identity: Mapping[str, Any]
    """Of the checkpoints, see checkpoint.py."""
    processes: int
    worker: str
    """The module that each process runs."""

    @classmethod
    def read(cls, path: str) -> Self:
        """The order in a file that `write` made."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def write(self) -> Path:
        """The file that it is in now."""
        path = self.file("order.json")
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    def file(self, name: str) -> Path:
        """A file of that name beside the order."""
        return Path(self.folder, name)
