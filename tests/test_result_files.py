"""Prefect's records of results are whole at any moment."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from prefect.filesystems import LocalFileSystem

from flows.pipeline.result_files import write_results_whole


def test_a_reader_never_sees_part_of_a_record(tmp_path: Path):
    write_results_whole()
    storage, contents = LocalFileSystem(basepath=str(tmp_path)), [b"a" * 300_000, b"b" * 300_000]
    storage.write_path("record", contents[0])
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            storage.write_path("record", contents[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(storage.read_path("record"))
    writer.join()
    assert seen <= set(contents)
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


def test_a_record_is_written_from_a_coroutine_too(tmp_path: Path):
    write_results_whole()
    write_results_whole()  # twice does no harm
    storage = LocalFileSystem(basepath=str(tmp_path))
    asyncio.run(storage.awrite_path("in/a/folder", b"content"))
    assert (tmp_path / "in/a/folder").read_bytes() == b"content"

    async def dispatched() -> None:
        await storage.write_path("other", b"content")

    asyncio.run(dispatched())
    assert (tmp_path / "other").read_bytes() == b"content"
