"""Parts on a Dask cluster of real processes: the same bytes, and what happens when one of them dies."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest
import runner_calls
from conftest import Pipeline
from dask_processes import DaskProcesses
from part_artifacts import cut_finely, make_all, write_extracted
from sleeping_run import start_sleeping_run

from benchmarks.torture.processes import gone
from tasks.shared.errors import RunError
from tasks.shared.parquet import PartWriter
from tasks.shared.parts.kept import KeptParts
from tasks.shared.parts.make import Work, make_parts
from tasks.shared.parts.part import Part, parts_of
from tasks.shared.runner import cluster
from tasks.shared.runner.calls import IN_PROCESS, Call, run_calls
from tasks.shared.runner.pool import open_executor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
SCHEMA = pa.schema([("doc_id", pa.string()), ("text", pa.string())])
COLUMNS = ("doc_id", "text")


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskProcesses]:
    processes = DaskProcesses(tmp_path / "dask")
    try:
        yield processes
    finally:
        processes.stop()


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """Twelve parts of one document."""
    cut_finely(monkeypatch, 1)
    with PartWriter(tmp_path / "documents", SCHEMA, row_group_bytes=1) as writer:
        for number in range(12):
            writer.write([{"doc_id": f"{number:02d}", "text": "some words"}])
    return parts_of(tmp_path / "documents")


def called(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def when(log: Path, number: int, act: object) -> Thread:
    """Calls `act` once so many calls have started."""

    def wait() -> None:
        while len(called(log)) < number:
            time.sleep(0.02)
        act()  # type: ignore[operator]

    thread = Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_cluster_makes_the_same_artifacts(
    dask: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_finely(monkeypatch)
    extracted = write_extracted(tmp_path / "extracted")
    local = make_all(extracted, tmp_path / "local", IN_PROCESS)
    with open_executor("dask", None, dask.start()) as executor:
        assert executor.workers >= 2
        assert make_all(extracted, tmp_path / "cluster", executor) == local


def test_a_killed_worker_costs_no_part(dask: DaskProcesses, parts: list[Part], tmp_path: Path) -> None:
    log = tmp_path / "calls"
    with open_executor("dask", None, dask.start()) as executor:
        killer = when(log, 4, lambda: dask.workers[0].send_signal(signal.SIGKILL))
        made = make_parts(
            "cleaning", Work(runner_calls.slow_part, (str(log),), COLUMNS), parts, tmp_path / "place", executor
        )
        killer.join(20)
    assert [part["number"] for part in made.counts] == list(range(12))
    assert dask.workers[0].wait(10) == -signal.SIGKILL
    assert len(called(log)) > 12


def test_a_run_goes_on_after_the_scheduler_was_killed(dask: DaskProcesses, parts: list[Part], tmp_path: Path) -> None:
    log, place, kept = tmp_path / "calls", tmp_path / "place", KeptParts(tmp_path / "kept")
    address = dask.start()
    message = (
        rf"^cleaning of .*/part-00000.parquet, row groups \d+ to \d+: the Dask scheduler at {address} is gone; start"
    )
    with pytest.raises(RunError, match=message) as caught, open_executor("dask", None, address) as executor:
        when(log, 6, lambda: dask.scheduler.send_signal(signal.SIGKILL))
        make_parts("cleaning", Work(runner_calls.slow_part, (str(log),), COLUMNS), parts, place, executor, kept)
    assert "\n" not in str(caught.value)
    dask.stop()
    before = len(list((tmp_path / "kept").glob("*/[!.]*/done.json")))
    assert 0 < before < 12
    log.unlink()
    with open_executor("dask", None, dask.start()) as executor:
        made = make_parts("cleaning", Work(runner_calls.slow_part, (str(log),), COLUMNS), parts, place, executor, kept)
    assert [part["number"] for part in made.counts] == list(range(12))
    assert len(called(log)) == 12 - before


def test_a_part_that_always_fails_is_named_and_log_lines_arrive(
    dask: DaskProcesses, parts: list[Part], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_executor("dask", None, dask.start()) as executor:
        message = r"part-00000.parquet, row groups 7 to 7: document '07': ValueError: bad text; remove that text"
        with pytest.raises(RunError, match=message):
            work = Work(runner_calls.measure_part, (str(tmp_path / "c"), "07"), COLUMNS)
            make_parts("cleaning", work, parts, tmp_path / "p", executor)
        with caplog.at_level(logging.INFO, "corpusflow"):
            calls = [Call(f"square of {number}", runner_calls.square, (number,)) for number in range(3)]
            assert sorted(result for _, result in run_calls(executor, calls, tmp_path / "messages")) == [0, 1, 4]
    lines = [record.getMessage() for record in caplog.records if record.name == "corpusflow.linear"]
    assert sorted(lines) == [f"linear: squaring {number}" for number in range(3)]


def test_tls_follows_the_configuration_of_dask(dask: DaskProcesses, parts: list[Part], tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", "req", "-x509", *options, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    tls = {"ca-file": certificate}
    tls |= {role: {"cert": certificate, "key": key} for role in ("client", "scheduler", "worker")}
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "tls.yaml").write_text(json.dumps({"distributed": {"comm": {"tls": tls}}}))
    dask.protocol, dask.settings = "tls", {"DASK_CONFIG": str(tmp_path / "config")}
    address = dask.start(workers=1)
    assert address.startswith("tls://")
    import_module("distributed")  # its defaults would go with the setting if they came within the block
    with (
        import_module("dask.config").set({f"distributed.comm.tls.{name}": value for name, value in tls.items()}),
        open_executor("dask", None, address) as executor,
    ):
        made = make_parts("cleaning", Work(runner_calls.where, (), COLUMNS), parts, tmp_path / "place", executor)
    assert {part["pid"] for part in made.counts} == {dask.workers[0].pid}


def test_a_cluster_of_its_own_ends_with_the_run(parts: list[Part], tmp_path: Path) -> None:
    with open_executor("dask", 2) as executor:
        made = make_parts("cleaning", Work(runner_calls.where, (), COLUMNS), parts, tmp_path / "place", executor)
    pids = {part["pid"] for part in made.counts}
    assert os.getpid() not in pids
    assert {part["threads"] for part in made.counts} == {"1"}
    until = time.monotonic() + 10
    while not all(map(gone, pids)):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_an_address_without_a_scheduler_or_a_worker_is_one_line(
    dask: DaskProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 2)
    for address, message in (
        (
            "tcp://127.0.0.1:1",
            r"^runner.address: tcp://127.0.0.1:1 cannot be reached \(.*\); start `dask scheduler` there",
        ),
        (dask.start(workers=0), r"^runner.address: tcp://.* has no worker; start `dask worker tcp"),
    ):
        with pytest.raises(RunError, match=message), open_executor("dask", None, address):
            pass


def test_the_flow_makes_the_same_artifacts_on_a_cluster(pipeline: Pipeline, dask: DaskProcesses) -> None:
    digests = []
    for runner in ({"kind": "local"}, {"kind": "dask", "address": dask.start()}):
        name = runner["kind"]
        baselines = {"baselines": ["majority", "naive_bayes"]}
        pipeline.configure(runner=runner, data=name, linear={"C": [1.0]}, evaluation=baselines)
        result = pipeline("run", "--json")
        assert result.code == 0, result.err
        manifests = sorted((pipeline.root / name).glob("*/latest/artifact.json"))
        digests.append({path.parts[-3]: json.loads(path.read_text())["digest"] for path in manifests})
    assert len(digests[0]) >= 9
    assert digests[0] == digests[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_cluster_of_its_own_ends_with_an_interrupted_run(tmp_path: Path, number: signal.Signals) -> None:
    process, workers = start_sleeping_run("dask", tmp_path)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    started = time.monotonic()
    _, error = process.communicate(timeout=30)  # the workers hold standard error: they end too
    assert time.monotonic() - started < 15
    if number == signal.SIGINT:
        assert error.rstrip().endswith("KeyboardInterrupt"), error
    assert all(map(gone, workers))
