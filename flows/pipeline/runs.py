"""A pipeline run: its name, settings, record and result, and what the UI shows when it fails."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from filelock import FileLock
from prefect import Flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import refresh_global_settings_context
from prefect.states import Completed

from flows.pipeline.busy_server import be_patient
from flows.pipeline.result_files import write_results_whole
from flows.pipeline.settings import Pipeline, load_settings
from flows.pipeline.site import refresh_after
from tasks.shared.engine.run import Run
from tasks.shared.errors import ArtifactError, CorpusflowError, out_of_memory
from tasks.shared.files import explain_storage_errors, remove_abandoned
from tasks.shared.progress import logger
from tasks.shared.runner.pool import open_executor
from tasks.shared.store.artifacts import Store
from tasks.shared.store.records import RunRecord, run_lock
from tasks.shared.store.scratch import SCRATCH
from tasks.shared.ui.pages import RUN_NOTE, STAGE_NOTE
from tasks.shared.ui.publish import publish_failure, publish_run

SECONDS_TO_ANSWER, SECONDS_TO_RESTART = 3.0, 4.0
SECONDS_TO_REPORT = 30
"""How long a run that lacks memory may take to report its end to Prefect's server."""
UNKNOWN = "unknown"


def run_name() -> str:
    """`retrain-brown-2026-11-22`: the flow, the pipeline's name, the date."""
    current = runtime.flow_run
    settings = _settings(current.parameters)
    return f"{current.flow_name}-{settings.name if settings else UNKNOWN}-{datetime.now().astimezone():%Y-%m-%d}"


def explain_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook of a flow: publishes what went wrong, at which stage, and what to do next."""
    error = state.result(raise_on_failure=False)
    if not isinstance(error, BaseException):
        error = RuntimeError(state.message or "failed")
    settings = _settings(flow_run.parameters)
    pipeline, site = (settings.name, settings.site_url) if settings else (UNKNOWN, None)
    config = str(flow_run.parameters.get("config", "pipeline.yaml"))
    if key := publish_failure(pipeline, flow.name, error, flow_run.id, config, site):
        logger("flow").info("%s: what to do next is in the artifact %s", flow.name, key)


def _settings(parameters: Mapping[str, Any]) -> Pipeline | None:
    """The settings that a flow was called with; None if they cannot be read."""
    try:
        return load_settings(Path(parameters.get("config", "pipeline.yaml")), parameters.get("overrides"))
    except CorpusflowError:
        return None


@contextmanager
def open_run(flow: str, config: str, overrides: Mapping[str, Any] | None, latest: bool = True) -> Iterator[Run]:
    """A run of the stages of one pipeline; its record is saved when the block ends, however it ends.

    Without `latest`, the stages' `latest` links do not change. Raises ArtifactError if the data folder cannot be
    written, or disappears during the run.
    """
    be_patient()
    write_results_whole()
    settings, store = open_pipeline(config, overrides)
    if flow == "retrain" and settings.retrain.when == "always":
        settings = _with_new_seed(settings)
    record = RunRecord(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        flow=flow,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.model_dump(mode="json"),
    )
    started, folder, interrupted = time.monotonic(), _identity(store), False
    alive = run_lock(store, record.id)
    alive.acquire()
    try:
        runner = settings.runner
        with explain_storage_errors(store.root), open_executor(runner.kind, runner.workers, runner.address) as executor:
            remove_abandoned(store.root, SCRATCH)
            yield Run(store, settings.sections, settings.limits, record, latest, executor)
            remove_abandoned(store.root, SCRATCH)  # of runs that were killed meanwhile
        record.status, record.message = "completed", _run_message(record)
        publish_run(record)
    except BaseException as error:
        record.status, record.message = _failed(error, record.current_stage)
        record.quarantine = str(getattr(error, "quarantine", None) or "")
        interrupted = not isinstance(error, Exception)
        if out_of_memory(error) is not None:
            _expect_an_end()
        error.add_note(f"{STAGE_NOTE}{record.current_stage}")
        if latest:  # a fold has no page
            error.add_note(f"{RUN_NOTE}{record.id}")
        if _identity(store) != folder:
            raise ArtifactError(
                f"{store.root}: the storage disappeared during the run; make it available and run again, "
                "finished stages are kept there"
            ) from error
        raise
    finally:
        record.seconds = round(time.monotonic() - started, 3)
        if _identity(store) == folder:
            _close(store, record, alive)
            if latest and not interrupted:
                refresh_after(settings, record.id)
        if not interrupted:
            _give_up_on_lost_server()


def _failed(error: BaseException, stage: str) -> tuple[Literal["failed", "interrupted"], str]:
    """Status and message of a run that an error or a signal has ended, in a stage or before the first one."""
    if isinstance(error, Exception):
        return "failed", str(error) or type(error).__name__
    how = "interrupted" if isinstance(error, KeyboardInterrupt) else "terminated"
    return "interrupted", f"{how} {f'during {stage}' if stage else 'before the first stage'}"


def _expect_an_end() -> None:
    """Ends a command even if Prefect does not: it waits without end for its threads that died for lack of memory.

    A command handles SIGALRM (`flows/ops/ending.py`); other processes do not, and are left alone.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and callable(signal.getsignal(signal.SIGALRM)):
        signal.alarm(SECONDS_TO_REPORT)


def _give_up_on_lost_server() -> None:
    """Waits for a server that is down; if it stays down, Prefect no longer retries.

    It would retry every report of the run's end, and of the failure to report it.
    """
    client = get_client(sync_client=True, httpx_settings={"timeout": SECONDS_TO_ANSWER})
    until = time.monotonic() + SECONDS_TO_RESTART
    while client.api_healthcheck() is not None:
        if time.monotonic() > until:
            os.environ["PREFECT_CLIENT_MAX_RETRIES"] = "0"
            refresh_global_settings_context()
            return
        time.sleep(0.5)


def _identity(store: Store) -> tuple[int, int] | None:
    """Device and inode of the data folder, which differ once a disk is unmounted; None if there is no folder."""
    try:
        status = store.root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _close(store: Store, record: RunRecord, alive: FileLock) -> None:
    """Saves the record; only warns if that fails, so that it does not hide the error that stopped the run."""
    try:
        record.save(store)
        alive.release()
        Path(alive.lock_file).unlink(missing_ok=True)
    except OSError as error:
        logger("flow").warning("the record of run %s cannot be saved: %s", record.id, error)


def open_pipeline(config: str, overrides: Mapping[str, Any] | None = None) -> tuple[Pipeline, Store]:
    """Settings and data folder of a flow; from here on its log lines reach Prefect's UI."""
    logging.getLogger("corpusflow").setLevel(logging.INFO)  # a worker does not call configure_logging
    settings = load_settings(Path(config), overrides)
    return settings, open_store(settings)


def _with_new_seed(settings: Pipeline) -> Pipeline:
    """The settings with a random training seed, so that the run trains a new model."""
    training = settings.training.model_copy(update={"seed": secrets.randbelow(2**31)})
    return settings.model_copy(update={"training": training})


def _run_message(record: RunRecord) -> str:
    built = [entry.stage for entry in record.stages if entry.status == "built"]
    if not built:
        return f"nothing new: all {len(record.stages)} stages reused"
    return f"built: {', '.join(built)}"


def open_store(settings: Pipeline) -> Store:
    """The data folder, created if missing; raises ArtifactError if it cannot be written."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        probe = settings.data / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another run may probe at the same moment
    except FileExistsError:
        raise ArtifactError(f"{settings.data}: not a folder; set `data` in pipeline.yaml") from None
    except OSError as error:
        raise ArtifactError(
            f"{settings.data}: cannot be written ({error.strerror}); set `data` in pipeline.yaml"
        ) from error
    return Store(settings.data, settings.verify)


def completed_state(record: RunRecord) -> RunRecord:
    """A flow's return value: the record for its caller, and for the UI a state with the record's message."""
    state: Any = Completed(message=record.message, data=record)
    return cast(RunRecord, state)  # Prefect returns the state's data to the caller


def read_metrics(report: Path) -> dict[str, Any]:
    """The metrics of a report."""
    return dict(json.loads((report / "metrics.json").read_text(encoding="utf-8")))
