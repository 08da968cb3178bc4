"""`python -m tasks.training.worker ORDER`: one of the processes that train together, started by agent.py.

Reads and trains like the stage itself, on its share of every batch (processes.py). The first process reports on
standard output, a line of JSON each time; every process says there why it failed. When standard input closes, whoever
ordered the training is gone, and the process ends at once.
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
from tasks.training.distributed.spec import Order
from tasks.training.schema import GRADIENTS
from tasks.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

FOR_EVER = timedelta(days=365)
"""A process waits for the others as long as they take; one that dies is the agent's affair."""
TOLD = 600
"""Characters of an error: so short a line a pipe takes whole, and those of several processes do not mix."""


def main() -> None:
    """Trains to the last checkpoint and exits with 0, or says what went wrong and exits with 1."""
    end_with_parent(code=1)
    order, rank = Order.read(sys.argv[1]), int(os.environ["RANK"])
    try:
        _train(order, rank)
    except Exception as error:
        _report(rank=rank, error=type(error).__name__, message=str(error)[:TOLD])
        logging.getLogger(__name__).exception("process %d of %d", rank + 1, order.processes)
        sys.exit(1)
    os._exit(0)  # all is written, and clearing up after torch takes a second


def _train(order: Order, rank: int) -> None:
    import torch.distributed as dist  # slow: only after `end_with_parent`

    from tasks.training.loop import loop
    from tasks.training.loop.checkpoint import Checkpoints
    from tasks.training.loop.epoch_metrics import SILENT, Listener
    from tasks.training.loop.gradient_record import GradientRecord
    from tasks.training.objectives.objective import objective_of

    settings = TrainingSettings.model_validate(order.settings)
    device = _join(order, settings, rank)
    tokens, folder = Path(order.tokens), Path(order.checkpoints)
    training, validation = open_tokens(tokens, "train"), open_tokens(tokens, "validation")
    objective = objective_of(settings, training, validation, device)
    gradients = GradientRecord(objective.model, training, settings.window, device, folder, GRADIENTS)

    def learned(row: Any) -> None:
        _report(row=row)
        if settings.gradient_flow:
            gradients.add(row["epoch"])

    listener = SILENT
    if rank == 0:
        listener = Listener(lambda progress: _report(progress=asdict(progress)), learned=learned)
        said = logging.getLogger("corpusflow")
        said.setLevel(logging.INFO)
        said.addHandler(_Relay())
    loop.train(settings, objective, training, device, Checkpoints(folder, order.identity), listener)
    dist.destroy_process_group()


def _join(order: Order, settings: TrainingSettings, rank: int) -> torch.device:
    """The device of this process, once all processes are there."""
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
        init_method=order.file("processes").as_uri(),
        rank=rank,
        world_size=order.processes,
        timeout=FOR_EVER,
    )
    return device


class _Relay(logging.Handler):
    """Hands the stage's log lines over to whoever ordered the training."""

    def emit(self, record: logging.LogRecord) -> None:
        _report(level=record.levelno, line=record.getMessage())


def _report(**news: Any) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
