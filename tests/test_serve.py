"""`corpusflow serve`: everything in one command, and no process left after Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from deployed import Site, make_site

from benchmarks.torture.processes import descendants, gone, wait_until

MANY = {"training": {"epochs": 2000, "batch_size": 4}}


def start(site: Site) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTED_IN_A_TERMINAL, "serve", "--port", str(site.port)],
        cwd=site.root,
        env=site.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


STARTED_IN_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # even if the tests were started with them ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from flows.cli.main import main
main()
"""


@pytest.mark.slow
def test_ctrl_c_during_a_run_leaves_no_process_and_the_run_as_crashed(tmp_path: Path):
    site = make_site(tmp_path)
    served = start(site)
    assert served.stdout is not None
    assert served.stdout.readline().startswith(f"Prefect's UI: http://127.0.0.1:{site.port} ")
    run = site.start("retrain/brown", overrides=MANY)
    wait_until(lambda: list(site.data.glob("06_rnn/.scratch-*/fold-*/epoch-*")))
    family = [served.pid, *descendants(served.pid)]
    assert len(family) >= 4  # itself, the server, the worker, the run
    os.kill(served.pid, signal.SIGINT)
    out, err = served.communicate(timeout=100)
    assert (served.returncode, out, err) == (0, "stopped: worker and server\n", "")
    assert all(map(gone, family))
    assert not list(site.data.glob("06_rnn/.staged-*"))
    log = (site.data / "prefect/logs/worker.log").read_text()
    assert "Finished in state Crashed('Execution was aborted by a termination signal.')" in log
    with site.server():  # the same database again
        assert site.state(run)["type"] == "CRASHED"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_closed_terminal_or_a_kill_leaves_no_process(tmp_path: Path, number: int, code: int):
    site = make_site(tmp_path)
    served = start(site)
    assert served.stdout is not None
    served.stdout.readline()
    family = [served.pid, *descendants(served.pid)]
    assert served.stderr is not None
    for stream in (served.stdout, served.stderr):
        stream.close()  # what it says has no reader any more
    os.kill(served.pid, number)
    assert served.wait(100) == code
    wait_until(lambda: all(map(gone, family)), 60)


def test_a_port_that_is_taken_is_reported(tmp_path: Path):
    site = make_site(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", site.port))
        taken.listen()
        refused = site.python("flows.cli", "serve", "--port", str(site.port))
    assert refused.code == 1
    message = f"port {site.port} is taken (Address already in use); choose another: corpusflow serve --port 4300"
    assert refused.err == f"corpusflow: {message}\n"
