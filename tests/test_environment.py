"""The place that a command runs in: proxies, Prefect's database, its temporary server, terminals, the user's rights."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, Result, write_corpus
from deployed import make_site
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
        started = time.monotonic()
        line = refused(call(AUTOMATIONS, tmp_path, place(tmp_path / "prefect")), code=1)
        assert time.monotonic() - started < 20
    assert "prefect.db locked: end it" in line


@pytest.mark.slow
def test_a_project_that_the_user_cannot_write_works_with_a_home_elsewhere(tmp_path: Path):
    site, elsewhere = make_site(tmp_path / "site"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    read_only = f"mount --bind {site.root} {site.root} && mount -o remount,bind,ro {site.root} && cd {site.root}"
    inside = ["unshare", "--mount", "--map-root-user", "sh", "-c", f'{read_only} && exec "$@"', "sh", *AUTOMATIONS]
    own = place(elsewhere, PYTHONPATH=str(site.root), ALL_PROXY="socks5h://127.0.0.1:1")
    done = call(inside, elsewhere, own)
    assert done.code == 0, done.err
    del own["PREFECT_HOME"]
    line = refused(call(inside, elsewhere, own), code=1)
    assert line.startswith(f"corpusflow: {site.root}/data/prefect: cannot be written (Read-only file system)")
    assert "set PREFECT_HOME to a folder that you can write" in line


@pytest.mark.slow
def test_a_failed_run_without_a_ui_does_not_point_to_it_and_repeats_the_config(tmp_path: Path):
    write_corpus(tmp_path / "texts")
    pipeline = Pipeline(tmp_path, place(tmp_path / "prefect"))
    pipeline.configure(checks={"extraction": {"documents": 35}})
    (tmp_path / "pipeline.yaml").rename(tmp_path / "my texts.yaml")
    failed = pipeline("run", "--config", "my texts.yaml")
    assert "check of extraction failed" in refused(failed, code=1)
    assert "what to do next" not in failed.err
    (page,) = failure_pages(tmp_path / "prefect/prefect.db")
    assert "corpusflow run --config 'my texts.yaml'" in page


def failure_pages(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        return [
            json.loads(data) for (data,) in connection.execute("SELECT data FROM artifact WHERE key LIKE '%-failure'")
        ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda url: url.removesuffix("/api"),
            "not the address of Prefect's API; its path should end in /api: {}",
        ),
        (
            lambda url: url.removesuffix("/api") + "/",
            "not the address of Prefect's API; its path should end in /api: {}",
        ),
        (lambda url: url.removeprefix("http://"), "not an address (it must begin with http:// or https://)"),
        (lambda url: f" {url}", "not an address (it has a space at an end); correct it, or unset the variable"),
        (lambda _: "http://[::1/api", "not an address (Invalid IPv6 URL); correct it, or unset the variable"),
        (
            lambda _: "http://127.0.0.1:1/api",
            "no Prefect server answers ([Errno 111] Connection refused); start one, or unset",
        ),
    ],
)
def test_a_wrong_address_of_the_server_is_named(
    tmp_path: Path, prefect_server: dict[str, str], change: Callable[[str], str], message: str
):
    url = change(prefect_server["PREFECT_API_URL"])
    line = refused(call(AUTOMATIONS, tmp_path, prefect_server | {"PREFECT_API_URL": url}), code=1)
    assert f"PREFECT_API_URL {url}: " in line
    assert message.format(prefect_server["PREFECT_API_URL"]) in line


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "ALL_PROXY",
            "http://[::1",
            r"ALL_PROXY http://[::1: not the address of a proxy (Invalid IPv6 URL); correct it",
        ),
        (
            "http_proxy",
            "ftp://a:sesame@b",
            "http_proxy ftp://a:***@b: not the address of a proxy (it must begin with http",
        ),
        ("HTTPS_PROXY", "proxy:many", "HTTPS_PROXY proxy:many: not the address of a proxy (Port could not be cast"),
    ],
)
def test_a_wrong_address_of_a_proxy_is_named(tmp_path: Path, name: str, value: str, message: str):
    line = refused(call(AUTOMATIONS, tmp_path, place(tmp_path, **{name: value})), code=1)
    assert message in line
    assert "unset the variable" in line


def test_a_password_in_the_address_is_not_printed(tmp_path: Path):
    line = refused(
        call(AUTOMATIONS, tmp_path, place(tmp_path, PREFECT_API_URL="http://a:sesame@127.0.0.1:1/api")), code=1
    )
    assert "PREFECT_API_URL http://a:***@127.0.0.1:1/api: no Prefect server answers" in line
    assert "sesame" not in line
    line = refused(call(AUTOMATIONS, tmp_path, place(tmp_path, PREFECT_API_URL="a:sesame@127.0.0.1/api")), code=1)
    assert "PREFECT_API_URL a:***@127.0.0.1/api: not an address" in line


def test_a_wrong_setting_of_prefect_is_named(tmp_path: Path):
    line = refused(call(AUTOMATIONS, tmp_path, place(tmp_path, PREFECT_CLIENT_MAX_RETRIES="many")))
    assert "Prefect's settings" in line
    assert "max_retries" in line.lower()


DATABASE = """
from flows.ops.environment import configure_prefect
from flows.ops.temporary_server import database
configure_prefect()
print(database())
"""


@pytest.mark.parametrize("own", [{}, {"PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////elsewhere/p.db"}])
def test_prefects_database_is_in_its_home_whatever_the_folder_is_called(tmp_path: Path, own: dict[str, str]):
    home = tmp_path / "50%20 off? #1 é"
    done = call([sys.executable, "-c", DATABASE], tmp_path, place(home, **own))
    assert done.out.strip() == ("/elsewhere/p.db" if own else str(home / "prefect.db")), done.err
