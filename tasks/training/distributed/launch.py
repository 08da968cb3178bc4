"""Distributed training on this machine: starts the agent and its workers, and handles their reports."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tasks.shared import errors
from tasks.shared.child_process import Child, child_process
from tasks.shared.errors import CorpusflowError, TrainingError, one_line
from tasks.training.distributed import agent
from tasks.training.distributed.spec import LaunchSpec
from tasks.training.loop.checkpoint import Checkpoints
from tasks.training.loop.epoch_metrics import Callback, Progress

if TYPE_CHECKING:
    from tasks.training.settings import TrainingSettings

PROJECT = Path(__file__).resolve().parents[3]
"""The processes' working directory, so that they import the code that this process runs."""
LOG_FILE = "processes.log"
"""Standard error of the processes, next to the checkpoints."""
log = logging.getLogger("corpusflow.training")


def train_distributed(
    settings: TrainingSettings, worker: str, tokens: Path, checkpoints: Checkpoints, callback: Callback
) -> None:
    """Trains in `settings.processes` processes, each running the module `worker`, to the checkpoint of the last epoch.

    Raises TrainingError, or the CorpusflowError that a process raised, as soon as one fails. No process outlives it.
    """
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="corpusflow-") as folder:
        spec = LaunchSpec(
            folder=folder,
            settings=settings.model_dump(mode="json"),
            tokens=str(tokens.resolve()),
            checkpoints=str(checkpoints.folder.resolve()),
            identity=checkpoints.identity,
            processes=settings.processes,
            worker=worker,
        )
        reports = WorkerReports(callback, spec)
        with _started(spec, checkpoints.folder / LOG_FILE) as process:
            for line in process.stdout or ():
                reports.on_line(line)
            code = process.wait()
    if code != 0:
        raise reports.error(checkpoints)


@contextmanager
def _started(spec: LaunchSpec, log_file: Path) -> Iterator[Child]:
    """The agent, which leads the processes; none of them outlives the block."""
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // spec.processes))}
    with (
        log_file.open("w", encoding="utf-8") as stderr,
        child_process(
            agent.__name__, str(spec.write()), environment=environment, folder=PROJECT, stderr=stderr
        ) as process,
    ):
        yield process


class WorkerReports:
    """Forwards the workers' reports, and keeps the reasons of a failure."""

    def __init__(self, callback: Callback, spec: LaunchSpec) -> None:
        self.callback, self.spec = callback, spec
        self.failures: dict[int, tuple[str, str]] = {}
        self.exit_codes: dict[int, int] = {}

    def on_line(self, line: str) -> None:
        """Handles a line of the processes' standard output."""
        try:
            report: Mapping[str, Any] = json.loads(line)
        except ValueError:
            log.info("training: %s", line.rstrip())
            return
        if "progress" in report:
            self.callback.on_progress(Progress(**report["progress"]))
        elif "row" in report:
            self.callback.on_epoch_end(report["row"])
        elif "line" in report:
            log.log(report["level"], "%s", report["line"])
        elif "error" in report:
            self.failures[report["rank"]] = (report["error"], report["message"])
        else:
            self.exit_codes = {int(rank): code for rank, code in report["exit_codes"].items()}

    def error(self, checkpoints: Checkpoints) -> CorpusflowError:
        """The error that a rank reported; else the killed rank, since the others only lost their connection."""
        for kind, message in self.failures.values():
            error_type = getattr(errors, kind, None)
            if isinstance(error_type, type) and issubclass(error_type, CorpusflowError):
                return error_type(message)
        killed = [rank for rank, code in self.exit_codes.items() if code < 0 and -code != signal.SIGTERM]
        if killed:
            cause = f"was ended by {signal.Signals(-self.exit_codes[killed[0]]).name} (as when memory runs out)"
        elif self.failures:
            kind, message = next(iter(self.failures.values()))
            cause = f"failed with {kind}: {one_line(message)}"
        else:
            cause = "ended"
        rank = next(iter([*killed, *self.failures, *self.exit_codes]), None)
        process = "their agent" if rank is None else f"process {rank + 1} of {self.spec.processes}"
        newest = checkpoints.newest()
        return TrainingError(
            f"training.processes: {process} {cause}, so the others were ended too; run again to resume from "
            f"{newest or 'the beginning'} (their log: {checkpoints.folder / LOG_FILE})"
        )
