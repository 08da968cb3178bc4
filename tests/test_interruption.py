"""Ctrl-C as a terminal sends it, to the whole process group, SIGTERM, and a server that dies in mid-run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, write_corpus

from benchmarks.torture.processes import descendants, gone, wait_until

INTERRUPTED = "corpusflow: interrupted; no file is half-written, and the next run continues from here"
STARTING = "starting"
LOG_LINE = r"\d\d:\d\d:\d\d  ([a-z]+: |brown-\S+ could not be published|Prefect's temporary server is starting)"
FOLDERS = "01_documents 02_cleaned 03_splits 04_vocabulary 05_tokens 06_linear 06_rnn 07_models 08_reports".split()


@pytest.fixture
def alone(tmp_path: Path) -> Pipeline:
    """A pipeline whose stages take seconds, without a server: each command starts its own."""
    write_corpus(tmp_path / "texts", documents=400)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    made = Pipeline(tmp_path, inherited | {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(PROJECT)})
    made.configure(evaluation={"bootstrap_samples": 20000})
    return made


def begun(pipeline: Pipeline, process: subprocess.Popen[str], where: str) -> None:
    """Waits until a stage has begun, or until the temporary server is starting."""

    until = time.monotonic() + 200
    while not (descendants(process.pid) if where == STARTING else list(pipeline.data.glob(f"{where}/.staged-*"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.002)  # some stages take a fraction of a second


def unfinished(pipeline: Pipeline) -> list[Path]:
    """Artifacts without the manifest that is written last. A staging folder may stay: the next run replaces it."""
    return [path for path in pipeline.data.glob("0*/[0-9a-f]*") if not (path / "artifact.json").exists()]


@pytest.mark.slow
@pytest.mark.parametrize("where", [STARTING, *FOLDERS])
def test_ctrl_c_in_a_terminal_ends_the_run_at_once_with_one_line(alone: Pipeline, where: str) -> None:
    process = alone.start("run")
    begun(alone, process, where)
    family = descendants(process.pid)
    interrupted = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    assert time.monotonic() - interrupted < 3
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert out == ""
    *lines, last = filter(None, err.splitlines())  # click ends the line with the terminal's ^C
    assert last == INTERRUPTED
    assert [line for line in lines if not re.match(LOG_LINE, line)] == []
    wait_until(lambda: all(map(gone, family)))
    assert unfinished(alone) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "said_last"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "its terminal was closed")],
)
def test_sigterm_and_a_closed_terminal_end_the_run_and_its_server(
    alone: Pipeline, number: int, code: int, said_last: str
):
    process = alone.start("run")
    begun(alone, process, "06_rnn")
    family = descendants(process.pid)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    *lines, last = err.splitlines()
    assert last == INTERRUPTED.replace("interrupted", said_last)
    assert [line for line in lines if line and not re.match(LOG_LINE, line)] == []
    assert "Traceback" not in err
    (record,) = [json.loads(path.read_text()) for path in (alone.data / "runs").glob("*.json")]
    said = [record[key] for key in ("status", "message", "current_stage")]
    assert said == ["interrupted", "terminated during training", "training"]
    assert record["current_reasons"] == ["first time: the stage has no artifact yet"]
    wait_until(lambda: all(map(gone, family)))  # the temporary server is one of them
    assert unfinished(alone) == []


@pytest.mark.slow
def test_a_killed_run_takes_its_server_with_it(alone: Pipeline):
    process = alone.start("run")
    begun(alone, process, "01_documents")
    family = descendants(process.pid)
    assert family
    process.kill()
    process.communicate(timeout=20)
    wait_until(lambda: all(map(gone, family)))


@pytest.mark.slow
def test_a_run_whose_server_dies_ends_in_one_line_soon_after_its_last_stage(alone: Pipeline):
    alone.configure(evaluation={"bootstrap_samples": 200})
    with alone.start("run") as process:
        begun(alone, process, "06_rnn")
        (server,) = [
            pid for pid in descendants(process.pid) if "temporary_server" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        os.kill(server, signal.SIGKILL)
        assert process.stderr is not None
        lines = [(time.monotonic(), line) for line in process.stderr]
        ended = time.monotonic()
    assert process.returncode == 1, lines
    last_stage = max(at for at, line in lines if "  promotion: " in line or "  evaluation: " in line)
    text = "".join(line for _, line in lines)
    assert ended - last_stage < 10, text
    last = "corpusflow: Prefect's temporary server stopped answering (it was killed by SIGKILL); "
    assert text.splitlines()[-1] == f"{last}finished stages are kept: run again to continue"
    assert max(map(len, text.splitlines())) < 400
    assert "Traceback" not in text
    assert len([line for line in text.splitlines() if not re.match(LOG_LINE, line)]) == 1, text
