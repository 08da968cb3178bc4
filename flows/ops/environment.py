"""Settles the process before Prefect is imported, and what it says on the terminal."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.shared.errors import CorpusflowError, RunError

PROJECT = Path(__file__).resolve().parents[2]


def settle() -> None:
    """Makes prefect.toml hold wherever the command is called from; must come before the first import of Prefect.

    Prefect itself reads the file only in the present folder. What the environment says goes first.
    """
    settings = tomllib.loads((PROJECT / "prefect.toml").read_text(encoding="utf-8"))
    settings["home"] = str(PROJECT / settings["home"])
    (PROJECT / "data").mkdir(exist_ok=True)  # Prefect makes its home, but not the folder above it
    # On a machine that others use too, threads of torch that spin while they wait take each other's time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name, value in _flat(settings, "PREFECT"):
        os.environ.setdefault(name, value)


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        name = f"{prefix}_{key.upper()}"
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)


def reach_server() -> None:
    """Raises RunError when PREFECT_API_URL names a server that does not answer, or does not let us in."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if url is None:
        return  # Prefect starts one itself
    try:
        get_client(sync_client=True, httpx_settings={"timeout": 5.0}).api_version()
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        what = "PREFECT_API_AUTH_STRING is missing or wrong" if code == 401 else f"it answers {code}; is it Prefect's?"
        raise RunError(f"PREFECT_API_URL {url}: {what}") from None
    except (httpx.HTTPError, ValueError) as error:
        what = str(error) or type(error).__name__
        raise RunError(
            f"PREFECT_API_URL {url}: no Prefect server answers there ({what}); start one, or unset the variable"
        ) from None


@contextmanager
def telling_when_the_server_is_lost() -> Iterator[None]:
    """Makes one line of what Prefect raises when its server goes away in the middle of a run."""
    import httpx
    from prefect.settings import get_current_settings

    try:
        yield
    except httpx.HTTPError as error:
        what = f"Prefect's server at {get_current_settings().api.url} is gone ({error or type(error).__name__})"
        raise RunError(f"{what}; what was made stays, and the next run goes on from there") from None


def speak_plainly() -> None:
    """On the terminal: the stages' own lines on standard error, and no traceback for the user's mistakes."""
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    own = logging.getLogger("corpusflow")
    own.setLevel(logging.INFO)
    own.addHandler(console)
    own.propagate = False  # Prefect would say it once more
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        engine = logging.getLogger(name)
        engine.setLevel(logging.WARNING)
        engine.addFilter(_foreseen)
    for name in ("prefect.events.clients", "prefect._internal.concurrency", "EventsWorker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # each event that a lost server did not take


def _foreseen(record: logging.LogRecord) -> bool:
    """Drops the engine's account of an error whose message the command prints anyway."""
    from httpx import HTTPError

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, CorpusflowError | KeyboardInterrupt | HTTPError):
        return False
    said = record.getMessage()
    return "Finished in state" not in said and "aborted by an interrupt signal" not in said
