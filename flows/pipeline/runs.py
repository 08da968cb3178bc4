"""Opens and closes a run: settings, the run's record, and what is left of it when it fails."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from filelock import FileLock
from prefect.states import Completed

from flows.pipeline.settings import Pipeline, load_settings
from tasks.shared.engine.run import Run
from tasks.shared.errors import ArtifactError
from tasks.shared.files import storage_faults
from tasks.shared.store.artifacts import Store
from tasks.shared.store.records import RunRecord, going_on
from tasks.shared.ui.publish import publish_run


@contextmanager
def open_run(flow: str, config: str, overrides: Mapping[str, Any] | None, latest: bool = True) -> Iterator[Run]:
    """A run over the stages of one pipeline; its record says afterwards how it went.

    Without `latest`, the stages' `latest` links stay where they are.
    """
    settings, store = open_pipeline(config, overrides)
    if flow == "retrain" and settings.retrain.when == "always":
        settings = _with_new_seed(settings)
    record = RunRecord(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        flow=flow,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.model_dump(mode="json"),
    )
    started, here = time.monotonic(), _identity(store)
    alive = going_on(store, record.id)
    alive.acquire()
    try:
        with storage_faults(store.root):
            yield Run(store, settings.sections, settings.limits, record, latest)
        record.status, record.message = "completed", _said(record)
        publish_run(record)
    except BaseException as error:
        record.status, record.message = "failed", str(error) or type(error).__name__
        error.add_note(record.at)
        if _identity(store) != here:
            raise ArtifactError(
                f"{store.root}: the storage went away in the middle of the run; bring it back and run again, "
                "what was finished lies there"
            ) from error
        raise
    finally:
        record.seconds = round(time.monotonic() - started, 3)
        if _identity(store) == here:
            _close(store, record, alive)


def _identity(store: Store) -> tuple[int, int] | None:
    """Which folder lies at the data folder's path: another one, once a disk was unmounted."""
    try:
        found = store.root.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _close(store: Store, record: RunRecord, alive: FileLock) -> None:
    """Keeps the record; where that fails, what stopped the run is still what people read."""
    try:
        record.save(store)
        alive.release()
        Path(alive.lock_file).unlink(missing_ok=True)
    except OSError as error:
        logging.getLogger("corpusflow").warning("the record of run %s cannot be kept: %s", record.id, error)


def open_pipeline(config: str, overrides: Mapping[str, Any] | None = None) -> tuple[Pipeline, Store]:
    """Settings and data folder of a flow; from here on its log lines reach Prefect's UI."""
    logging.getLogger("corpusflow").setLevel(logging.INFO)  # in a worker nobody else does
    settings = load_settings(Path(config), overrides)
    return settings, open_store(settings)


def _with_new_seed(settings: Pipeline) -> Pipeline:
    """The settings with a seed of this run's own, so that it trains a new model."""
    training = settings.training.model_copy(update={"seed": secrets.randbelow(2**31)})
    return settings.model_copy(update={"training": training})


def _said(record: RunRecord) -> str:
    built = [entry.stage for entry in record.stages if entry.status == "built"]
    if not built:
        return f"nothing new: all {len(record.stages)} stages reused"
    return f"built: {', '.join(built)}"


def open_store(settings: Pipeline) -> Store:
    """The data folder, made if need be; raises ArtifactError where it cannot be written."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        probe = settings.data / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another run may look at the same moment
    except OSError as error:
        raise ArtifactError(
            f"{settings.data}: cannot be written ({error.strerror}); set `data` in pipeline.yaml"
        ) from error
    return Store(settings.data)


def ended(record: RunRecord) -> RunRecord:
    """What a flow returns: for the caller the record, for the UI a state whose message says what there was to do."""
    state: Any = Completed(message=record.message, data=record)
    return cast(RunRecord, state)  # Prefect hands the caller the state's data


def read_metrics(report: Path) -> dict[str, Any]:
    """The figures of a report."""
    return dict(json.loads((report / "metrics.json").read_text(encoding="utf-8")))
