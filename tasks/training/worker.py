"""`python -m tasks.training.worker SPEC`: one rank of a distributed training, started by distributed/agent.py.

Trains like the stage itself, on its shard of every batch (collectives.py). Rank 0 reports its progress on standard
output, a line of JSON each; every rank reports its errors there. When standard input closes, the process that started
the training is gone, and this one ends at once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.shared.child_process import end_with_parent
from tasks.tokenization.store import open_tokens
from tasks.training.distributed.spec import LaunchSpec
from tasks.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

NO_TIMEOUT = timedelta(days=365)
"""The ranks wait for each other without limit; the agent notices a dead one."""
MAX_MESSAGE_CHARACTERS = 600
"""Of an error: a pipe writes a line this short atomically, so that the lines of several processes do not mix."""


def main() -> None:
    """Trains to the last checkpoint; on an error reports it and exits with 1."""
    end_with_parent(code=1)
    spec, rank = LaunchSpec.read(sys.argv[1]), int(os.environ["RANK"])
    try:
        _train(spec, rank)
    except Exception as error:
        _report(rank=rank, error=type(error).__name__, message=str(error)[:MAX_MESSAGE_CHARACTERS])
        logging.getLogger(__name__).exception("process %d of %d", rank + 1, spec.processes)
        sys.exit(1)
    os._exit(0)  # everything is written, and torch takes a second to clean up


def _train(spec: LaunchSpec, rank: int) -> None:
    import torch.distributed as dist  # slow: only after `end_with_parent`

    from tasks.training.loop.checkpoint import Checkpoints
    from tasks.training.loop.epoch_metrics import NO_CALLBACK, Callback
    from tasks.training.train_model import train_model

    settings = TrainingSettings.model_validate(spec.settings)
    device = _join(spec, settings, rank)
    training, validation = (open_tokens(Path(spec.tokens), split) for split in ("train", "validation"))
    callback = NO_CALLBACK
    if rank == 0:
        callback = Callback(
            lambda progress: _report(progress=asdict(progress)), on_epoch_end=lambda row: _report(row=row)
        )
        log = logging.getLogger("corpusflow")
        log.setLevel(logging.INFO)
        log.addHandler(_ReportHandler())
    checkpoints = Checkpoints(Path(spec.checkpoints), spec.identity)
    train_model(settings, training, validation, device, checkpoints, callback)
    dist.destroy_process_group()


def _join(spec: LaunchSpec, settings: TrainingSettings, rank: int) -> torch.device:
    """Waits for all ranks to join the process group; returns this rank's device."""
    import torch
    import torch.distributed as dist

    from tasks.training.runtime.device import choose_device

    device = choose_device(settings.device)
    if device.type == "cuda":
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=spec.file("processes").as_uri(),
        rank=rank,
        world_size=spec.processes,
        timeout=NO_TIMEOUT,
    )
    return device


class _ReportHandler(logging.Handler):
    """Reports the log lines to the process that started the training."""

    def emit(self, record: logging.LogRecord) -> None:
        _report(level=record.levelno, line=record.getMessage())


def _report(**report: Any) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
