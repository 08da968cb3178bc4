"""Training in several processes of this machine, as seen by the one that orders it."""

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
from tasks.training.distributed.spec import Order
from tasks.training.loop.checkpoint import Checkpoints
from tasks.training.loop.epoch_metrics import Listener, Progress

if TYPE_CHECKING:
    from tasks.training.settings import TrainingSettings

PROJECT = Path(__file__).resolve().parents[3]
"""Where the processes start: Python looks there first, so that they run the code that this process runs."""
ASIDE = "processes.log"
"""Beside the checkpoints: what the processes say besides their reports."""
log = logging.getLogger("corpusflow.training")


def train_together(
    settings: TrainingSettings, worker: str, tokens: Path, checkpoints: Checkpoints, listener: Listener
) -> None:
    """Trains in `settings.processes` processes until the last epoch's checkpoint is there; each runs `worker`.

    Raises TrainingError, or what one of them raised, as soon as one fails; all have ended when it returns or raises.
    """
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="corpusflow-") as folder:
        order = Order(
            folder=folder,
            settings=settings.model_dump(mode="json"),
            tokens=str(tokens.resolve()),
            checkpoints=str(checkpoints.folder.resolve()),
            identity=checkpoints.identity,
            processes=settings.processes,
            worker=worker,
        )
        news = _News(listener, order)
        with _started(order, checkpoints.folder / ASIDE) as process:
            for line in process.stdout or ():
                news.hear(line)
            code = process.wait()
    if code != 0:
        raise news.error(checkpoints)


@contextmanager
def _started(order: Order, aside: Path) -> Iterator[Child]:
    """The agent, which leads the processes; none of them outlives the block."""
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // order.processes))}
    with (
        aside.open("w", encoding="utf-8") as said,
        child_process(
            agent.__name__, str(order.write()), environment=environment, folder=PROJECT, stderr=said
        ) as process,
    ):
        yield process


class _News:
    """Passes on what the processes report, and keeps what tells why they failed."""

    def __init__(self, listener: Listener, order: Order) -> None:
        self.listener, self.order = listener, order
        self.failures: dict[int, tuple[str, str]] = {}
        self.codes: dict[int, int] = {}

    def hear(self, line: str) -> None:
        """Takes a line of the processes' standard output."""
        try:
            news: Mapping[str, Any] = json.loads(line)
        except ValueError:
            log.info("training: %s", line.rstrip())
            return
        if "progress" in news:
            self.listener.tell(Progress(**news["progress"]))
        elif "row" in news:
            self.listener.learned(news["row"])
        elif "line" in news:
            log.log(news["level"], "%s", news["line"])
        elif "error" in news:
            self.failures[news["rank"]] = (news["error"], news["message"])
        else:
            self.codes = {int(rank): code for rank, code in news["codes"].items()}

    def error(self, checkpoints: Checkpoints) -> CorpusflowError:
        """Why they failed: one of ours, or else a process that was killed, for then the others complain of its loss."""
        for kind, message in self.failures.values():
            found = getattr(errors, kind, None)
            if isinstance(found, type) and issubclass(found, CorpusflowError):
                return found(message)
        killed = [rank for rank, code in self.codes.items() if code < 0 and -code != signal.SIGTERM]
        if killed:
            what = f"was ended by {signal.Signals(-self.codes[killed[0]]).name} (as when memory runs out)"
        elif self.failures:
            kind, message = next(iter(self.failures.values()))
            what = f"failed with {kind}: {one_line(message)}"
        else:
            what = "ended"
        who = next(iter([*killed, *self.failures, *self.codes]), None)
        named = "their agent" if who is None else f"process {who + 1} of {self.order.processes}"
        kept = checkpoints.newest()
        return TrainingError(
            f"training.processes: {named} {what}, so the others were ended too; run again to go on from "
            f"{kept or 'the beginning'} (what they said: {checkpoints.folder / ASIDE})"
        )
