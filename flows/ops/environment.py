"""What a command needs around a flow: Prefect's settings, a server that answers, readable log lines and errors."""

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


@contextmanager
def prefect_session() -> Iterator[None]:
    """A flow is imported and called inside; raises RunError if Prefect's server does not answer or is lost."""
    configure_prefect()
    require_server()
    configure_logging()
    with explain_lost_server():
        yield


def configure_prefect() -> None:
    """Applies prefect.toml in whatever folder the command is called; must precede the first import of Prefect.

    Prefect itself reads the file only in the current folder. Environment variables override it.
    """
    settings = tomllib.loads((PROJECT / "prefect.toml").read_text(encoding="utf-8"))
    settings["home"] = str(PROJECT / settings["home"])
    (PROJECT / "data").mkdir(exist_ok=True)  # Prefect creates its home, but not the parent folder
    # On a shared machine, torch's threads that spin while they wait slow other processes down.
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


def require_server() -> None:
    """Raises RunError if PREFECT_API_URL names a server that does not answer or refuses access."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if url is None:
        return  # Prefect starts one
    try:
        get_client(sync_client=True, httpx_settings={"timeout": 5.0}).api_version()
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        what = "PREFECT_API_AUTH_STRING is missing or wrong" if code == 401 else f"it answers {code}; is it Prefect's?"
        raise RunError(f"PREFECT_API_URL {url}: {what}") from None
    except (httpx.HTTPError, ValueError) as error:
        what = str(error) or type(error).__name__
        raise RunError(
            f"PREFECT_API_URL {url}: no Prefect server answers ({what}); start one, or unset the variable"
        ) from None


@contextmanager
def explain_lost_server() -> Iterator[None]:
    """Turns what Prefect raises when its server stops answering during a run into a RunError of one line."""
    import httpx
    from prefect.settings import get_current_settings

    try:
        yield
    except httpx.HTTPError as error:
        lost = f"Prefect's server at {get_current_settings().api.url} stopped answering"
        reason = str(error) or type(error).__name__
        raise RunError(f"{lost} ({reason}); finished stages are kept: run again to continue") from None


def configure_logging() -> None:
    """Sends the stages' log lines to standard error, and hides Prefect's own below a warning."""
    import prefect.main  # noqa: F401 (it configures the loggers when it is imported)

    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    own = logging.getLogger("corpusflow")
    own.setLevel(logging.INFO)
    own.addHandler(console)
    own.propagate = False  # Prefect would log each line again
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        engine = logging.getLogger(name)
        engine.setLevel(logging.WARNING)
        engine.addFilter(_is_unexpected)
    for name in ("prefect.events.clients", "prefect._internal.concurrency", "EventsWorker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a line for each event that a lost server did not receive


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Filters out the engine's report of an error whose message the command prints anyway."""
    from httpx import HTTPError

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, CorpusflowError | KeyboardInterrupt | HTTPError):
        return False
    message = record.getMessage()
    return "Finished in state" not in message and "aborted by an interrupt signal" not in message
