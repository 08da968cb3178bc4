"""Calls in worker processes: results, log lines, errors, and workers that end with the run, however it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest
import runner_calls
from sleeping_run import start_sleeping_run
from training_texts import small, write_inputs

from benchmarks.torture.processes import gone
from tasks.linear.settings import LinearSettings
from tasks.linear.task import fit_linear
from tasks.shared.errors import RunError, TrainingError
from tasks.shared.progress import progress_listener
from tasks.shared.runner.calls import IN_PROCESS, SMALL_CHARACTERS, Call, run_calls, worth_workers
from tasks.shared.runner.cores import usable_cores
from tasks.shared.runner.pool import WorkerPool, open_executor
from tasks.training.task import train


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    executor = WorkerPool(2)  # not by `open_executor`: inside its block every other one would be the same
    yield executor
    executor.stop_workers()


def squares(executor: Executor, folder: Path, numbers: int = 4) -> list[int]:
    calls = [Call(f"square of {number}", runner_calls.square, (number,)) for number in range(numbers)]
    return sorted(result for _, result in run_calls(executor, calls, folder, numbers))


@pytest.mark.parametrize("kind", ["local", "processes"])
def test_results_log_lines_and_progress_arrive(
    pool: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    shares: list[float] = []
    with caplog.at_level(logging.INFO, "corpusflow"), progress_listener(shares.append):
        assert squares(IN_PROCESS if kind == "local" else pool, tmp_path) == [0, 1, 4, 9]
    assert sorted(record.getMessage() for record in caplog.records) == [f"linear: squaring {n}" for n in range(4)]
    assert {record.name for record in caplog.records} == {"corpusflow.linear"}
    assert shares[-1] == 1
    assert all(0 < share <= 1 for share in shares)


def test_calls_can_be_added_while_others_run(pool: Executor, tmp_path: Path) -> None:
    calls = deque([Call("first", runner_calls.square, (2,))])
    found = []
    for _, result in run_calls(pool, calls, tmp_path):
        found.append(result)
        if result < 100:
            calls.append(Call("next", runner_calls.square, (result,)))
    assert found == [4, 16, 256]


def test_a_worker_loads_neither_prefect_nor_the_main_module_and_has_one_thread(pool: Executor, tmp_path: Path) -> None:
    calls = [Call("modules", runner_calls.loaded, ())]
    with open_executor("processes", 1) as fresh:
        assert list(run_calls(fresh, calls, tmp_path)) == [(calls[0], [])]
    (_, threads), *_ = run_calls(pool, [Call("threads", runner_calls.threads, ())], tmp_path)
    assert set(threads) == {1}


@pytest.mark.parametrize("kind", ["local", "processes"])
def test_the_first_failure_ends_the_others_and_the_executor_can_be_used_again(
    pool: Executor, tmp_path: Path, kind: str
) -> None:
    executor, started = IN_PROCESS if kind == "local" else pool, time.monotonic()
    calls = [Call("fold 3", runner_calls.fail, (3,)), Call("long", runner_calls.sleep, (str(tmp_path),))]
    with pytest.raises(TrainingError, match=r"^fold 3: cannot go on$"):
        list(run_calls(executor, calls, tmp_path))
    assert time.monotonic() - started < 30
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        list(run_calls(executor, [Call("fold 4", runner_calls.break_down, ())], tmp_path))
    assert caught.value.__notes__ == ["fold 4"]
    assert squares(executor, tmp_path, 2) == [0, 1]


def test_a_killed_worker_is_one_line_that_names_the_call(pool: Executor, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^a worker process died during: fold 2; if memory ran out, lower runner"):
        list(run_calls(pool, [Call("fold 2", runner_calls.die, ())], tmp_path))
    assert squares(pool, tmp_path, 2) == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_a_killed_run_without_a_word(tmp_path: Path) -> None:
    process, workers = start_sleeping_run("processes", tmp_path)
    process.kill()
    _, error = process.communicate(timeout=20)  # the workers hold standard error: they end too
    assert error == ""
    assert all(map(gone, workers))


def test_ctrl_c_reaches_the_run_alone(tmp_path: Path) -> None:
    process, workers = start_sleeping_run("processes", tmp_path)
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert time.monotonic() - started < 3
    assert error.count("Traceback") == 1
    assert error.rstrip().endswith("KeyboardInterrupt")
    assert all(map(gone, workers))


def test_the_quota_of_a_container_counts(tmp_path: Path) -> None:
    everything = usable_cores(tmp_path)
    assert everything >= 1
    for quota, cores in (("max 100000", everything), ("50000 100000", 1), ("9000000 100000", everything)):
        (tmp_path / "cpu.max").write_text(quota)
        assert usable_cores(tmp_path) == cores


def test_one_core_needs_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.shared.runner.pool.usable_cores", lambda: 1)
    for kind, workers, number in (("processes", None, None), ("local", 3, None), ("processes", 1, 1)):
        with open_executor(kind, workers) as executor:
            assert getattr(executor, "_pool", executor) in (None, IN_PROCESS)
            assert (executor is IN_PROCESS) == (number is None)


def test_a_block_inside_another_uses_its_workers() -> None:
    with open_executor("processes", 2) as outer, open_executor("processes", 3) as inner:
        assert inner is outer
    with open_executor("processes", 2) as fresh:
        assert fresh is not outer


@pytest.mark.slow
def test_any_number_of_workers_trains_the_same_networks(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path, per_label=12)
    found = []
    for workers in (0, 1, 2, 3):
        out = tmp_path / f"out-{workers}"
        out.mkdir()
        with open_executor("processes" if workers else "local", workers or None) as executor:
            train.function(small(), out, **inputs, scratch=tmp_path / f"scratch-{workers}", executor=executor)
        names = ("rnn/networks.safetensors", "rnn/evidence.safetensors", "rnn.out-of-fold.parquet", "gradients.parquet")
        found.append([(out / name).read_bytes() for name in names])
    assert found[1:] == found[:1] * 3


@pytest.mark.slow
def test_any_number_of_workers_fits_the_same_linear_members(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path, per_label=12)
    paths = {name: inputs[name] for name in ("cleaned", "splits")}
    found = []
    for workers in (0, 1, 2, 3):
        out = tmp_path / f"out-{workers}"
        out.mkdir()
        with open_executor("processes" if workers else "local", workers or None) as executor:
            scratch = tmp_path / f"scratch-{workers}"
            fit_linear.function(LinearSettings(), out, **paths, scratch=scratch, executor=executor)
        found.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert len(found[0]) == 1 + 4 * len(LinearSettings().members)  # the labels; each member's files and predictions
    assert found[1:] == found[:1] * 3


def test_a_small_corpus_needs_no_workers_unless_they_are_asked_for() -> None:
    with open_executor("processes", 2) as asked:
        assert worth_workers(asked, 10) is asked
    by_default = WorkerPool(2, by_default=True)
    assert worth_workers(by_default, SMALL_CHARACTERS - 1) is IN_PROCESS
    assert worth_workers(by_default, SMALL_CHARACTERS) is by_default


@pytest.mark.skipif(sys.platform != "linux", reason="mounts")
def test_workers_that_cannot_be_started_are_named(tmp_path: Path) -> None:
    code = (
        "import sys, runner_calls; from tasks.shared.runner.pool import open_executor\n"
        "with open_executor('processes', 2) as executor: executor.submit(runner_calls.square, 2)"
    )
    mount = 'mount --bind /dev/shm /dev/shm && mount -o remount,bind,ro /dev/shm && exec "$@"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh", sys.executable, "-c", code]
    done = subprocess.run(command, env=runner_calls.importable(), capture_output=True, text=True, check=False)
    assert "RunError: worker processes cannot be started (Read-only file system; on Linux they need /dev" in done.stderr
