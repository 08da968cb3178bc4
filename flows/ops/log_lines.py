"""The log lines that a command prints: the stages' own, and of Prefect's only what nothing else says."""

from __future__ import annotations

import logging

from flows.ops.ending import code_of_signal
from flows.ops.terminal import on_one_line, suit_hints
from flows.pipeline.busy_server import failed_call
from tasks.shared.errors import CorpusflowError, out_of_memory


def configure_logging() -> None:
    """Sends the stages' log lines to standard error, and hides Prefect's own below a warning."""
    import prefect.main  # noqa: F401 (it configures the loggers when it is imported)

    logging.raiseExceptions = False  # Prefect would print each log line that a lost server did not take
    console = logging.StreamHandler()
    console.setFormatter(_LogLine("%(asctime)s  %(message)s", "%H:%M:%S"))
    own = logging.getLogger("corpusflow")
    own.setLevel(logging.INFO)
    own.addHandler(console)
    own.propagate = False  # Prefect would log each line again
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        engine = logging.getLogger(name)
        engine.setLevel(logging.WARNING)
        engine.addFilter(_is_unexpected)
    logging.getLogger("asyncio").addFilter(_is_no_rest)
    for name in ("prefect.events.clients", "prefect._internal.concurrency", "EventsWorker"):
        # A line for each event that a lost server did not receive. Prefect resets the level when a flow starts.
        logging.getLogger(name).addFilter(lambda record: record.levelno >= logging.CRITICAL)


class _LogLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return on_one_line(suit_hints(super().formatMessage(record)))


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Filters out the engine's report of an error, or of a signal, that the command explains anyway."""
    error = record.exc_info[1] if record.exc_info else None
    if code_of_signal() or isinstance(error, CorpusflowError | KeyboardInterrupt):
        return False
    if error is not None and (failed_call(error) is not None or out_of_memory(error) is not None):
        return False
    message = record.getMessage()
    return "Finished in state" not in message and "Execution was aborted by a" not in message


def _is_no_rest(record: logging.LogRecord) -> bool:
    """Filters out what asyncio says of Prefect's tasks that were still waiting when a run ended without memory."""
    return not record.getMessage().startswith("Task was destroyed but it is pending")
