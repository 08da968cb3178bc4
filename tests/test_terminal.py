"""Terminals that cannot show every sign, and hints that repeat the settings file that was given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline
from test_cli import refused

from tasks.shared.errors import with_config
from tasks.shared.store.artifacts import Store
from tasks.shared.store.records import RunRecord, StageRecord, run_lock

REASON = "settings name: 'größer' → '中文 …'"


@pytest.fixture
def recorded(tmp_path: Path) -> Pipeline:
    """A data folder with the record of a run, in a folder whose name is not ASCII."""
    root = tmp_path / "données"
    root.mkdir()
    pipeline = Pipeline(root, dict(os.environ))
    pipeline.configure()
    stage = StageRecord(
        stage="cleaning", status="built", rows=1, seconds=1, bytes=1, path=str(root), fingerprint="f", reasons=[REASON]
    )
    record = RunRecord(id="20261125-000000-abcd", flow="retrain", started="2026-11-25", settings={}, stages=[stage])
    record.status, record.message = "failed", REASON
    record.save(Store(root / "data"))
    return pipeline


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [
        ("ascii", r"settings name: 'gr\xf6\xdfer' -> '\u4e2d\u6587 ...'"),
        ("latin-1", r"settings name: 'größer' -> '\u4e2d\u6587 ...'"),
        ("utf-8", REASON),
    ],
)
def test_a_terminal_shows_what_its_encoding_has(recorded: Pipeline, encoding: str, reason: str):
    recorded.environment["PYTHONIOENCODING"] = encoding
    why = run_bytes(recorded, "why").decode(encoding)
    assert reason in why
    assert f"failed: {reason}" in why
    assert json.loads(run_bytes(recorded, "why", "--json").decode(encoding))["stages"][0]["reasons"] == [REASON]


def test_a_path_is_printed_as_the_bytes_that_it_is(recorded: Pipeline):
    recorded.environment["PYTHONIOENCODING"] = "ascii"
    line = run_bytes(recorded, "path", "cleaning", code=2, stream="err").decode("ascii")
    assert r"donn\xe9es/data/02_cleaned: no cleaning artifact yet" in line
    odd = recorded.root / os.fsdecode(b"caf\xe9.yaml")
    assert b"caf\xe9.yaml: cannot be read" in run_bytes(recorded, "runs", "--config", str(odd), code=2, stream="err")


def run_bytes(pipeline: Pipeline, *arguments: str, code: int = 0, stream: str = "out") -> bytes:
    command = [sys.executable, "-m", "flows.cli", *arguments]
    done = subprocess.run(command, cwd=pipeline.root, env=pipeline.environment, capture_output=True, check=False)
    assert done.returncode == code, done
    return done.stdout if stream == "out" else done.stderr


def test_hints_repeat_the_config_that_was_given(recorded: Pipeline):
    (recorded.root / "pipeline.yaml").rename(recorded.root / "my texts.yaml")
    own = ("--config", "my texts.yaml")
    assert refused(recorded("path", "training", *own)).endswith("`corpusflow run --config 'my texts.yaml'` makes one")
    shutil.rmtree(recorded.data / "runs")
    assert recorded("runs", *own).out.startswith("no runs yet; `corpusflow run --config 'my texts.yaml'` starts one")
    assert "`corpusflow run --config 'my texts.yaml'` promotes" in recorded("champion", *own).out


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`corpusflow champion --rollback`", "`corpusflow champion --config a.yaml --rollback`"),
        (
            "`corpusflow predict-batch` or `corpusflow run`",
            "`corpusflow predict-batch --config a.yaml` or `corpusflow run --config a.yaml`",
        ),
        ("`corpusflow serve`, `corpusflow --help`", "`corpusflow serve`, `corpusflow --help`"),
        ("set `data` in pipeline.yaml", "set `data` in a.yaml"),
        ("/x/pipeline.yaml: bad", "/x/pipeline.yaml: bad"),
    ],
)
def test_the_config_goes_into_commands_that_take_it(message: str, expected: str):
    assert with_config(message, "a.yaml") == expected


@pytest.mark.parametrize("command", ["why", "why --json"])
@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        (">/dev/full", 1, "corpusflow: standard output cannot be written (No space left on device)"),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&-", 0, ""),
    ],
)
def test_output_that_cannot_be_written_is_one_line(
    recorded: Pipeline, command: str, redirected: str, code: int, said: str
):
    done = shell(recorded, f"{command} {redirected}")
    *lines, last = done.stderr.splitlines()
    assert last == f"code {code}"
    assert len(lines) == bool(said)
    assert lines[:1] == [line for line in lines if line.startswith(said)]


def test_a_mistake_has_its_exit_code_also_if_standard_error_cannot_be_written(recorded: Pipeline):
    for redirected in ("2>/dev/full", "2>&-"):
        assert shell(recorded, f"path nothing {redirected}").stderr == "code 2\n"
        assert shell(recorded, f"path training {redirected}").stderr == "code 2\n"


def test_a_reader_of_one_line_is_no_error(recorded: Pipeline):
    piped = f"{sys.executable} -m flows.cli why --json | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    command = f"for each in 1 2 3; do {piped}; done"
    done = subprocess.run(
        ["bash", "-c", command], cwd=recorded.root, env=recorded.environment, capture_output=True, check=True
    )
    assert done.stdout.split() == [b"0"] * 3
    assert done.stderr == b""


def shell(pipeline: Pipeline, command: str) -> subprocess.CompletedProcess[str]:
    """A command with redirections, and its exit code on standard error."""
    text = f"{{ {sys.executable} -m flows.cli {command}; }}; echo code $? >&2"
    return subprocess.run(
        ["bash", "-c", text], cwd=pipeline.root, env=pipeline.environment, capture_output=True, text=True, check=False
    )


def test_the_name_of_a_file_cannot_break_a_line_or_command_the_terminal(recorded: Pipeline):
    done = run_bytes(recorded, "runs", "--config", "a\nb\x1b[31m\u2028é.yaml", code=2, stream="err").decode()
    assert done == (
        r"corpusflow: a\nb\x1b[31m\u2028é.yaml: cannot be read (No such file or directory); name the file with --config"
        "\n"
    )


def test_standard_input_has_one_text(recorded: Pipeline):
    assert "-: standard input is given twice; it has one text" in refused(recorded("predict", "-", "-", stdin="one"))


def test_no_file_of_a_run_takes_the_place_of_a_closed_stream(tmp_path: Path):
    code = (
        "import os, sys; from flows.ops.terminal import prepare_streams; prepare_streams(); "
        "open('found', 'w').write(' '.join(os.readlink(f'/proc/self/fd/{number}') for number in (0, 1, 2)))"
    )
    command = ["bash", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)}, check=True)
    assert (tmp_path / "found").read_text() == "/dev/null /dev/null /dev/null"


def test_a_data_folder_that_may_only_be_read_is_shown_and_named_by_what_must_write(recorded: Pipeline):
    store = Store(recorded.data)
    ids = ("20261125-000001-beef", "20261125-000002-beef")
    for run in ids:
        RunRecord(id=run, flow="retrain", started="2026-11-25", settings={}, status="running").save(store)
    with run_lock(store, ids[0]):
        told = on_read_only_storage(recorded, "runs", "--json")
    assert told.returncode == 0, told.stderr
    states = {run["run"]: run["status"] for run in json.loads(told.stdout)["runs"]}
    assert [states[run] for run in ids] == ["running", "interrupted"]
    done = on_read_only_storage(recorded, "site")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"corpusflow: {recorded.data}/")
    assert line.endswith(": Read-only file system; the command stopped there")


def on_read_only_storage(pipeline: Pipeline, *arguments: str) -> subprocess.CompletedProcess[str]:
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"'
    inside = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, str(pipeline.root)]
    command = [*inside, sys.executable, "-m", "flows.cli", *arguments]
    environment = pipeline.environment | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
