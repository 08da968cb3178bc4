"""What the training of a network says while it runs: log lines, and the share that is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.shared.progress import logger, report_progress
from tasks.training.loop.epoch_metrics import Callback, Progress

log = logger("training")


def log_and_report(networks: int, epochs: int) -> Callback:
    """Logs the progress of one of so many networks, and reports the share of its training that is done."""

    def on_epoch_end(row: Mapping[str, Any]) -> None:
        _log_epoch(row)
        report_progress(row["epoch"] / epochs)

    return Callback(lambda progress: _log_progress(progress, networks), on_epoch_end)


def _log_progress(progress: Progress, networks: int) -> None:
    log.info(
        "training: network %d of %d, epoch %d of %d, %d%%, loss %.3f, %s tokens/s",
        progress.fold + 1,
        networks,
        progress.epoch,
        progress.epochs,
        round(100 * progress.share),
        progress.loss,
        f"{progress.tokens_per_second:,.0f}",
    )
    report_progress((progress.epoch - 1 + progress.share) / progress.epochs)


def _log_epoch(row: Mapping[str, Any]) -> None:
    log.info(
        "training: network %d, epoch %d done, out-of-fold loss %.3f, accuracy %.3f",
        row["fold"] + 1,
        row["epoch"],
        row["validation_loss"],
        row["validation_accuracy"],
    )
