"""The place that a command runs in: proxies, Prefect's database, its temporary server, terminals, the user's rights."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROJECT, Result
from test_cli import refused

AUTOMATIONS = [sys.executable, "-m", "flows.cli", "automations"]
"""A short command that needs Prefect's server."""


def place(home: Path, **own: str) -> dict[str, str]:
    """An environment without a server, in which Prefect keeps its files in `home`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return inherited | {"PREFECT_HOME": str(home), "PYTHONPATH": str(PROJECT)} | own


def call(command: list[str], folder: Path, environment: dict[str, str]) -> Result:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's folder after one command with a temporary server, in a place where the proxy is a dead end."""
    home = tmp_path_factory.mktemp("home")
    dead = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:1")
    done = call(AUTOMATIONS, home, place(home, **dead))
    assert done.code == 0, done.err
    assert done.out
    return home


def newer(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'f00dfeedbeef'")


def damaged(database: Path) -> None:
    database.write_bytes(b"no database " * 4096)


def truncated(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:40_000])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (newer, "was written by another version of Prefect: move it away"),
        (damaged, "is damaged: move it away"),
        (truncated, "is damaged: move it away"),
    ],
)
def test_a_database_that_prefect_cannot_use_is_named_with_what_to_do(
    tmp_path: Path, home: Path, harm: Callable[[Path], None], message: str
):
    shutil.copytree(home, tmp_path / "prefect")
    for extra in ("prefect.db-wal", "prefect.db-shm"):
        (tmp_path / "prefect" / extra).unlink(missing_ok=True)
    harm(tmp_path / "prefect/prefect.db")
    started = time.monotonic()
    line = refused(call(AUTOMATIONS, tmp_path, place(tmp_path / "prefect")), code=1)
    assert time.monotonic() - started < 20
    assert line.startswith("corpusflow: Prefect's temporary server cannot start: ")
    assert f"{tmp_path}/prefect/prefect.db {message}" in line
    assert "PREFECT_HOME" in line


@pytest.mark.slow
def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path):
    code = "import sys; open('prefect/fill', 'wb').write(bytes(400_000)); from flows.cli.main import main; main()"
    mount = 'mkdir prefect && mount -t tmpfs -o size=512k tmpfs prefect && exec "$@"'
    inside = [
        "unshare",
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        mount,
        "sh",
        sys.executable,
        "-c",
        code,
        "automations",
    ]
    line = refused(call(inside, tmp_path, place(tmp_path / "prefect")), code=1)
    assert f"the disk of {tmp_path}/prefect/prefect.db is full: make room" in line


@pytest.mark.slow
def test_a_locked_database_is_named(tmp_path: Path, home: Path):
    shutil.copytree(home, tmp_path / "prefect")
    with sqlite3.connect(tmp_path / "prefect/prefect.db", isolation_level=None) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        line = refused(call(AUTOMATIONS, tmp_path, place(tmp_path / "prefect")), code=1)
    assert "prefect.db locked" in line
