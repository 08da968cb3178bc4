"""Prefect's records of results as whole files.

Prefect writes a record in place. A run that reads it meanwhile finds half of it, or nothing, and fails. This happens to
runs over two data folders that make the same artifact: their records have one name, and no lock in common.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.shared.files import replacing

if TYPE_CHECKING:
    from prefect.filesystems import LocalFileSystem


def write_results_whole() -> None:
    """From now on a file of Prefect's local storage appears, or replaces an earlier one, in one step."""
    from prefect._internal.compatibility.async_dispatch import async_dispatch
    from prefect.filesystems import LocalFileSystem

    async def awrite_path(self: LocalFileSystem, path: str, content: bytes) -> str:
        return _write(self, path, content)

    @async_dispatch(awrite_path)
    def write_path(self: LocalFileSystem, path: str, content: bytes) -> str:
        return _write(self, path, content)

    LocalFileSystem.awrite_path = awrite_path  # type: ignore[method-assign]
    LocalFileSystem.write_path = write_path  # type: ignore[method-assign]


def _write(storage: LocalFileSystem, path: str, content: bytes) -> str:
    target = Path(storage._resolve_path(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as fresh:
        fresh.write_bytes(content)
    return str(target)
