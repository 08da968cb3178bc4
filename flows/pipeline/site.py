"""Keeps the site of a data folder up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.pipeline.settings import Pipeline, default_settings
from flows.pipeline.stages import STAGES
from tasks.shared.errors import one_line
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Store

if TYPE_CHECKING:
    from tasks.site.reading.shelf import Frame
    from tasks.site.site import Written


def frame_of(settings: Pipeline) -> Frame:
    """What surrounds every page of a pipeline's site."""
    from tasks.site.reading.shelf import Frame

    return Frame(settings.name, tuple(STAGES), default_settings(settings).model_dump(mode="json"))


def write_site(settings: Pipeline) -> Written:
    """Writes the pages that changed."""
    from tasks.site.site import refresh  # templates and Parquet: a command that fails early loads neither

    return refresh(Store(settings.data), frame_of(settings))


def refresh_after(settings: Pipeline, run_id: str | None = None) -> Path | None:
    """Writes the site after a change, and names the page of the run; a failure only warns, in one line."""
    try:
        home = write_site(settings).home
    except Exception as error:  # whatever is wrong with the site, the run itself is done
        logger("site").warning("site: could not be written (%s: %s)", type(error).__name__, one_line(error))
        return None
    page = home if run_id is None else home.parent / "runs" / f"{run_id}.html"
    logger("site").info("site: %s", page if page.exists() else home)
    return page
