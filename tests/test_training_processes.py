"""Distributed training: the same weights as with one process, and no process left running after a failure."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch.nn import functional
from training_texts import small, write_inputs

from tasks.shared.errors import SettingsError, TrainingError
from tasks.tokenization.schema import DATASET
from tasks.training.preflight import needed_bytes
from tasks.training.runtime import collectives
from tasks.training.runtime.device import check_processes
from tasks.training.settings import TrainingSettings
from tasks.training.task import train as stage

QUIET = {"dropout": 0, "token_dropout": 0, "embedding_dropout": 0}
"""Without dropout, which differs between processes."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Texts with fewer of the first label, so that windows have different weights."""
    made = write_inputs(tmp_path_factory.mktemp("inputs"), per_label=12)
    for path in (made["tokens"] / DATASET).iterdir():
        table = pq.read_table(path)
        surplus = pc.and_(pc.equal(table["label"], "fable"), pc.greater(table["doc_id"], "0-015"))
        keep = pc.or_(pc.invert(surplus), pc.invert(pc.equal(table["split"], "train")))
        pq.write_table(table.filter(keep), path)
    return made


def build(inputs: dict[str, Path], folder: Path, settings: TrainingSettings) -> Path:
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    stage.function(settings, out, **inputs, scratch=folder / "scratch")
    return out


def processes_below(pid: int) -> list[int]:
    """The training processes among a process's descendants, in order of their start."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    below = {pid}
    for _ in range(3):
        below |= {int(row[0]) for row in rows if int(row[1]) in below}
    return sorted(int(row[0]) for row in rows if int(row[0]) in below and "tasks.training.worker" in row[2])


def alive(pids: Iterable[int]) -> list[int]:
    shown = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    running = {int(pid) for pid, state in map(str.split, shown.splitlines()) if not state.startswith("Z")}
    return [pid for pid in pids if pid in running]


def wait_for(condition: Any, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def reached(folder: Path, epoch: int) -> bool:
    return any((folder / "scratch").glob(f"epoch-{epoch:05d}-*.safetensors"))


def test_shards_cover_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collectives, "world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        shares.append(collectives.shard(np.arange(8)))
        assert collectives.shard(np.arange(2)).tolist() == [0, 1]
    assert sorted(np.concatenate(shares)) == list(range(8))
    assert [collectives.replication(np.arange(windows)) for windows in (8, 3, 2)] == [1, 1, 3]


def test_the_mean_over_a_batch_equals_pytorchs() -> None:
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(9, 4), torch.arange(9) % 4, torch.rand(4)
    total = functional.cross_entropy(logits, labels, weights, label_smoothing=0.1, reduction="sum")
    mean = functional.cross_entropy(logits, labels, weights, label_smoothing=0.1)
    torch.testing.assert_close(collectives.batch_mean(total, weights[labels].sum()), mean)


def test_too_many_processes_are_refused() -> None:
    check_processes(64, torch.device("cpu"))
    with pytest.raises(SettingsError, match=r"training.processes: 2, but mps serves one"):
        check_processes(2, torch.device("mps"))
    with pytest.raises(SettingsError, match=r"needs a GPU and this machine has \d+"):
        check_processes(torch.cuda.device_count() + 1, torch.device("cuda"))
    with pytest.raises(ValidationError, match="processes 9 exceed batch_size 8"):
        small(processes=9)


def test_a_process_needs_memory_for_its_shard_of_the_batch() -> None:
    alone, shared = (needed_bytes(small(processes=count, batch_size=64), 40, 3, 60) for count in (1, 4))
    assert shared < alone < 4 * shared


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["mingru", "lstm"])
def test_two_processes_learn_the_same_as_one(inputs: dict[str, Path], tmp_path: Path, cell: str) -> None:
    """Some epochs end with a batch of a single window, which both processes take."""
    rows: list[list[dict[str, Any]]] = []
    weights = []
    for count in (1, 2):
        settings = small(cell=cell, processes=count, class_weight_power=1, batch_size=2, epochs=3, **QUIET)
        out = build(inputs, tmp_path / str(count), settings)
        rows.append(pq.read_table(out / "history.parquet").to_pylist())
        weights.append(load_file(out / "model.safetensors"))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=2e-5)
    metrics = ("train_loss", "train_window_accuracy", "gradient_norm_max", "validation_loss", "validation_accuracy")
    for one, two in zip(*rows, strict=True):
        assert [two[name] for name in metrics] == pytest.approx([one[name] for name in metrics], abs=1e-4)


@pytest.mark.slow
def test_a_killed_process_fails_the_run_and_the_next_one_resumes(inputs: dict[str, Path], tmp_path: Path) -> None:
    settings = small(processes=3, epochs=20, batch_size=6)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(build, inputs, tmp_path / "killed", settings)
        wait_for(lambda: run.done() or reached(tmp_path / "killed", 3))
        pids = processes_below(os.getpid())
        os.kill(pids[1], signal.SIGKILL)
        with pytest.raises(TrainingError) as caught:
            run.result(60)
    kept = max((tmp_path / "killed" / "scratch").glob("epoch-*"))
    assert "process 2 of 3 was ended by SIGKILL (as when memory runs out)" in str(caught.value)
    assert f"run again to resume from {kept}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert alive(pids) == []
    assert len(pids) == 3
    resumed, through = (build(inputs, tmp_path / name, settings) for name in ("killed", "through"))
    for name in ("model.safetensors", "config.json"):
        assert (resumed / name).read_bytes() == (through / name).read_bytes()


@pytest.mark.slow
def test_an_error_of_a_process_is_raised_as_from_a_single_one(
    inputs: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    explosive = small(cell="none", processes=2, learning_rate=10, weight_decay=10, schedule="constant", epochs=50)
    with pytest.raises(TrainingError, match=r"^epoch \d+, batch \d+: the (loss|gradient|validation loss) is not fin"):
        build(inputs, tmp_path, explosive)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


STAGE = """
import json, sys
from pathlib import Path
from training_texts import small
from tasks.training.task import train
inputs = {name: Path(path) for name, path in json.loads(sys.argv[1]).items()}
work = Path(sys.argv[2])
(work / "out").mkdir()
train.function(small(processes=2, epochs=10_000), work / "out", **inputs, scratch=work / "scratch")
"""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(
    inputs: dict[str, Path], tmp_path: Path, sent: signal.Signals
) -> None:
    here = Path(__file__).parent
    run = subprocess.Popen(
        [sys.executable, "-c", STAGE, json.dumps({name: str(path) for name, path in inputs.items()}), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]), "TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        # Tests started in the background by a shell ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    wait_for(lambda: run.poll() is not None or reached(tmp_path, 2))
    pids = processes_below(run.pid)
    assert len(pids) == 2
    run.send_signal(sent)
    assert run.wait(30) != 0
    wait_for(lambda: not alive(pids), 10)
