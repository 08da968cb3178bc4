"""A team's server: on PostgreSQL, with a password; and a server that stops answering."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deployed import Site, make_site, statuses

from benchmarks.torture.processes import descendants, free_port, kill, wait_until

LOGIN = "admin:sesame"


@contextmanager
def postgresql() -> Iterator[str]:
    """A cluster of its own for the duration of the block; yields its URL."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        place = ["-D", str(folder / "cluster")]
        made = [binaries / "initdb", *place, "--username=prefect", "--auth=trust", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with (folder / "log").open("wb") as log:
            run = [binaries / "postgres", *place, *settings]
            cluster = subprocess.Popen(run, cwd=folder, stdout=log, stderr=log, **user)
        try:
            ready = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            wait_until(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0)
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
        finally:
            cluster.send_signal(signal.SIGINT)  # without waiting for its clients
            cluster.wait(60)


def one_line(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("corpusflow: ")]
    assert "Traceback" not in text
    return line


@pytest.mark.slow
def test_a_team_deploys_and_runs_on_postgresql_but_not_without_the_password(tmp_path: Path):
    with postgresql() as url:
        own = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url, "PREFECT_SERVER_API_AUTH_STRING": LOGIN}
        site = make_site(tmp_path, **own, PREFECT_API_AUTH_STRING=LOGIN)
        with site.server():
            site.deploy()
            with site.worker():
                assert site.end(site.start("retrain/brown"))["type"] == "COMPLETED"
            (record,) = site.records()
            assert statuses(record) == {"built"}
            assert not (site.data / "prefect/prefect.db").exists()

            stranger = Site(site.root, site.port, {"PREFECT_API_AUTH_STRING": "admin:open"})
            refused = stranger.python("flows.cli", "run")
            assert refused.code == 1
            assert one_line(refused.err).endswith("/api: PREFECT_API_AUTH_STRING is missing or wrong")
            deployed = stranger.python("prefect", "--no-prompt", "deploy", "--all")
            assert deployed.code == 1
            assert "401" in deployed.out + deployed.err


def test_a_server_that_does_not_answer_is_reported(tmp_path: Path):
    refused = make_site(tmp_path).python("flows.cli", "run")
    assert refused.code == 1
    line = one_line(refused.err)
    assert "PREFECT_API_URL http://127.0.0.1:" in line
    assert "no Prefect server answers" in line
    assert refused.out == ""
    assert list((tmp_path / "data").glob("0*")) == []


@pytest.mark.slow
def test_a_run_that_loses_its_server_keeps_its_artifacts(tmp_path: Path):
    site = make_site(tmp_path)
    with site.server() as server:
        run = [sys.executable, "-m", "flows.cli", "run", "--set", "training.epochs=60"]
        where: Any = {"cwd": site.root, "env": site.environment, "text": True}
        process = subprocess.Popen(run, **where, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: list(site.data.glob("06_rnn/.scratch-*/fold-*/epoch-*")))
        kill([*descendants(server.pid), server.pid])
        out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (1, "")
    assert f"corpusflow: Prefect's server at http://127.0.0.1:{site.port}/api stopped answering" in err
    assert "Traceback" not in err
    assert statuses(site.records()[0]) == {"built"}
    with site.server():
        again = site.python("flows.cli", "run", "--json", "--set", "training.epochs=60")
    assert {stage["status"] for stage in again.json["stages"]} == {"reused"}
