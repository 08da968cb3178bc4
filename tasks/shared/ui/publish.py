"""Publishes pages as Prefect artifacts under stable keys, so that the UI shows their history over runs.

A page that cannot be published is only logged: a stage's output is worth more than the page about it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from uuid import UUID

from httpx import HTTPError
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.exceptions import PrefectException
from prefect.settings import get_current_settings

from tasks.shared.checks.report import CheckReport
from tasks.shared.progress import logger, progress_listener
from tasks.shared.ui.markdown import Markdown, Page
from tasks.shared.ui.pages import about_artifact, about_check, about_failure, about_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from tasks.shared.store.artifacts import Artifact, Store
    from tasks.shared.store.records import RunRecord

SECONDS_BETWEEN_UPDATES = 1.0
SECONDS_OF_PAUSE = 60.0
log = logger("publish")


def publish_artifact(
    pipeline: str | None,
    store: Store,
    artifact: Artifact,
    reasons: Sequence[str],
    show: ModuleType | None,
    site: str | None,
) -> None:
    """Publishes a stage's output, inside its task. Without a pipeline's name nothing is published.

    `show` is the stage's module of that name: `decoder(store, artifact)` and `pages(folder)`, if it has them.
    `site` is the address of the site where it is served.
    """
    if pipeline is None:
        return
    folder, place = store.locate(artifact), store.place(artifact.folder, artifact.fingerprint)
    decoder, pages = getattr(show, "decoder", None), getattr(show, "pages", None)
    decode = decoder(store, artifact) if decoder else None
    _publish(pipeline, about_artifact(artifact, folder, place, reasons, decode, site))
    for page in pages(folder) if pages else ():
        _publish(pipeline, page)


def publish_check(pipeline: str | None, store: Store, artifact: Artifact) -> None:
    """Publishes the results of an artifact's check, which must have been written."""
    if pipeline is None:
        return
    results = store.check_results(artifact.stage, artifact.fingerprint)
    _publish(pipeline, about_check(artifact.stage, CheckReport.model_validate_json(results.read_bytes())))


def publish_run(record: RunRecord) -> None:
    """Publishes a run: all its stages at a glance."""
    _publish(record.settings["name"], about_run(record))


def publish_failure(
    pipeline: str, flow: str, error: BaseException, flow_run_id: UUID, config: str, site: str | None
) -> str | None:
    """Publishes what to do after a failure; returns the artifact's key if there is a UI that shows it."""
    if _Pause.is_paused():
        return None
    page = about_failure(flow, error, config, site)
    key = f"{pipeline}-{page.key}"
    with _only_logged(key), get_client(sync_client=True) as client:
        client.create_artifact(
            ArtifactCreate(
                key=key,
                type="markdown",
                description=page.description,
                data=page.text,
                flow_run_id=flow_run_id,
            )
        )
        return key if get_current_settings().server.ui.enabled else None
    return None


@contextmanager
def show_progress(pipeline: str | None, stage: str) -> Iterator[None]:
    """Shows the progress that the stage reports as a bar; a stage that reports nothing has none."""
    if pipeline is None:
        yield
        return
    bar = _Bar(f"{pipeline}-{stage}-progress", f"{stage}: progress")
    with progress_listener(bar):
        yield
    bar.finish()


class _Bar:
    def __init__(self, key: str, description: str) -> None:
        self.key, self.description = key, description
        self.id: UUID | None = None
        self.moved = 0.0

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if self.id is None or now - self.moved >= SECONDS_BETWEEN_UPDATES:
            self.moved = now
            self._show(share)

    def _show(self, share: float) -> None:
        if _Pause.is_paused():
            return
        percent = round(100 * share, 1)
        with _only_logged(self.key):
            if self.id is None:
                made = create_progress_artifact(percent, key=self.key, description=self.description)
                self.id = cast(UUID, made)  # a coroutine only in asynchronous code
            else:
                update_progress_artifact(self.id, percent)

    def finish(self) -> None:
        if self.id is not None:
            self._show(1.0)


class _Pause:
    """After a failure to publish, pauses publishing: each attempt would wait for the server again."""

    until = 0.0

    @classmethod
    def begin(cls) -> None:
        cls.until = time.monotonic() + SECONDS_OF_PAUSE

    @classmethod
    def is_paused(cls) -> bool:
        return time.monotonic() < cls.until


def _publish(pipeline: str, page: Page) -> None:
    if _Pause.is_paused():
        return
    key = f"{pipeline}-{page.key}"
    with _only_logged(key):
        if isinstance(page, Markdown):
            create_markdown_artifact(page.text, key=key, description=page.description)
        else:
            create_table_artifact([dict(row) for row in page.rows], key=key, description=page.description)


@contextmanager
def _only_logged(key: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, PrefectException, OSError) as error:
        log.warning("%s could not be published (%s)", key, error)
        _Pause.begin()
