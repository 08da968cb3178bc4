"""What a command needs around a flow: Prefect's settings, a server that answers, readable log lines and errors."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import ValidationError

from flows.ops.ending import code_of_signal, prompt_end, skip_exit_hooks
from flows.ops.temporary_server import TemporaryServer, temporary_server
from tasks.shared.errors import CorpusflowError, RunError, SettingsError, first_problem, one_line

PROJECT = Path(__file__).resolve().parents[2]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SECONDS_TO_DELIVER, SECONDS_AFTER_FAILURE = 10.0, 0.5


@contextmanager
def prefect_session() -> Iterator[None]:
    """A flow is imported and called inside; raises RunError if Prefect's server does not answer or is lost."""
    configure_prefect()
    with ExitStack() as stack:
        stack.enter_context(prompt_end())
        url, temporary = configured_url(), None
        if url is None:
            temporary = stack.enter_context(temporary_server())
            configure_logging()  # imports much of Prefect while the server starts
            use_server(temporary.wait_for_url())
        else:
            require_server(url)
            configure_logging()
        stack.enter_context(explain_lost_server(temporary))
        with deliver_to_server():
            yield


def configure_prefect() -> None:
    """Applies prefect.toml in whatever folder the command is called; must precede the first import of Prefect.

    Prefect itself reads the file only in the current folder. Environment variables override it.
    """
    settings = tomllib.loads((PROJECT / "prefect.toml").read_text(encoding="utf-8"))
    if "PREFECT_HOME" not in os.environ:
        settings["home"] = str(PROJECT / settings["home"])
        require_writable(PROJECT / "data")  # Prefect creates its home, but not the parent folder
    # On a shared machine, torch's threads that spin while they wait slow other processes down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name, value in _flat(settings, "PREFECT"):
        os.environ.setdefault(name, value)
    bypass_proxy()


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        name = f"{prefix}_{key.upper()}"
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)


def require_writable(folder: Path) -> None:
    """Creates the folder if it is missing; raises RunError if nothing can be created in it."""
    try:
        folder.mkdir(exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written ({error.strerror}), and Prefect keeps its records there; set PREFECT_HOME to "
            "a folder that you can write"
        ) from None


def bypass_proxy() -> None:
    """Keeps calls to this machine's own servers away from the proxy that HTTP_PROXY names."""
    present = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in present.split(",") if host.strip()]
    if "*" not in hosts:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def configured_url() -> str | None:
    """The API's address in Prefect's settings (environment, profile, files); None if Prefect is to start a server."""
    try:
        from prefect.settings import get_current_settings

        settings = get_current_settings()
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        what = first_problem(error) if isinstance(error, ValidationError) else one_line(error)
        raise SettingsError(f"Prefect's settings (PREFECT_… variables, {settings_files()}): {what}") from None
    if not settings.api.url and not settings.server.ephemeral.enabled:
        raise RunError("no Prefect server: set PREFECT_API_URL, or allow a temporary one: server.ephemeral.enabled")
    return settings.api.url or None


def settings_files() -> str:
    """The files that Prefect reads settings from, besides the environment."""
    return f"profiles.toml in {os.environ['PREFECT_HOME']}, prefect.toml and pyproject.toml in {Path.cwd()}"


def use_server(url: str) -> None:
    """Makes a server without a UI that of this process and its children."""
    os.environ |= {"PREFECT_API_URL": url, "PREFECT_SERVER_UI_ENABLED": "false"}
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()


def require_server(url: str) -> None:
    """Raises RunError if no Prefect server answers at `url`, or if it refuses access."""
    import httpx
    from prefect.client.orchestration import get_client

    lacks_path = not urlsplit(url).path.rstrip("/").endswith("/api") and "/api/" not in url
    hint = f"; its path should end in /api: {url.rstrip('/')}/api" if lacks_path else ""
    try:
        get_client(sync_client=True, httpx_settings={"timeout": 3.0}).api_version()
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        what = "PREFECT_API_AUTH_STRING is missing or wrong" if code == 401 else f"it answers {code}; is it Prefect's?"
        raise RunError(f"PREFECT_API_URL {url}: {what}{hint}") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        what = str(error) or type(error).__name__
        if lacks_path and isinstance(error, ValueError):
            raise RunError(f"PREFECT_API_URL {url}: this is not the address of Prefect's API{hint}") from None
        raise RunError(
            f"PREFECT_API_URL {url}: no Prefect server answers ({what}); start one, or unset the variable{hint}"
        ) from None


@contextmanager
def explain_lost_server(temporary: TemporaryServer | None) -> Iterator[None]:
    """Turns what Prefect raises when its server stops answering during a run into a RunError of one line."""
    import httpx
    from prefect.settings import get_current_settings

    try:
        yield
    except httpx.HTTPError as error:
        if temporary is None:
            lost, reason = f"Prefect's server at {get_current_settings().api.url}", str(error) or type(error).__name__
        else:
            lost, reason = "Prefect's temporary server", temporary.reason_of_loss()
        raise RunError(
            f"{lost} stopped answering ({one_line(reason)}); finished stages are kept: run again to continue"
        ) from None


@contextmanager
def deliver_to_server() -> Iterator[None]:
    """Waits until Prefect has sent its events and log lines, if the server still takes them.

    Prefect would wait when the interpreter exits: for a server that is gone, seven seconds for each event.
    """
    seconds = SECONDS_AFTER_FAILURE
    try:
        yield
        seconds = SECONDS_TO_DELIVER
    except CorpusflowError:
        seconds = SECONDS_TO_DELIVER
        raise
    finally:
        from prefect.events.worker import EventsWorker

        waiting = cast(tuple[set[Any], set[Any]], EventsWorker.drain_all(timeout=seconds))[1]  # log lines as well
        if waiting:
            skip_exit_hooks()


def configure_logging() -> None:
    """Sends the stages' log lines to standard error, and hides Prefect's own below a warning."""
    import prefect.main  # noqa: F401 (it configures the loggers when it is imported)

    logging.raiseExceptions = False  # Prefect would print each log line that a lost server did not take
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
        # A line for each event that a lost server did not receive. Prefect resets the level when a flow starts.
        logging.getLogger(name).addFilter(lambda record: record.levelno >= logging.CRITICAL)


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Filters out the engine's report of an error, or of a signal, that the command explains anyway."""
    from httpx import HTTPError

    error = record.exc_info[1] if record.exc_info else None
    if code_of_signal() or isinstance(error, CorpusflowError | KeyboardInterrupt | HTTPError):
        return False
    message = record.getMessage()
    return "Finished in state" not in message and "aborted by an interrupt signal" not in message
