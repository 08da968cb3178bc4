"""What a command needs around a flow: Prefect's settings, a server that answers, readable log lines and errors."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast
from urllib.parse import quote, urlsplit

from pydantic import ValidationError

from flows.ops.addresses import bypass_proxy, require_address, without_password
from flows.ops.ending import prompt_end, skip_exit_hooks
from flows.ops.log_lines import configure_logging
from flows.ops.temporary_server import TemporaryServer, temporary_server
from flows.pipeline.busy_server import be_patient, failed_call
from flows.pipeline.result_files import write_results_whole
from tasks.shared.errors import CorpusflowError, RunError, SettingsError, first_problem, one_line

PROJECT = Path(__file__).resolve().parents[2]
DATABASE_URLS = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
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
        be_patient()
        write_results_whole()
        stack.enter_context(explain_lost_server(temporary))
        with deliver_to_server():
            yield


def configure_prefect() -> None:
    """Applies prefect.toml in whatever folder the command is called; must precede the first import of Prefect.

    Prefect itself reads the file only in the current folder. Environment variables override it.
    """
    settings = tomllib.loads((PROJECT / "prefect.toml").read_text(encoding="utf-8"))
    settings["home"] = os.environ.get("PREFECT_HOME") or str(PROJECT / settings["home"])
    home = Path(settings["home"])
    require_writable(home)
    if set(str(home)) & set("%?") and not any(os.environ.get(name) for name in DATABASE_URLS):
        # Prefect puts the path into a URL as it is, in which these mean something else.
        os.environ[DATABASE_URLS[0]] = f"sqlite+aiosqlite:///{quote(str(home / 'prefect.db'), safe='/ ')}"
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
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written ({error.strerror}), and Prefect keeps its records there; set PREFECT_HOME to "
            "a folder that you can write"
        ) from None


def configured_url() -> str | None:
    """The API's address in Prefect's settings (environment, profile, files); None if Prefect is to start a server."""
    require_address(os.environ.get("PREFECT_API_URL", ""))
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

    try:
        get_client(sync_client=True, httpx_settings={"timeout": 3.0}).api_version()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        lacks_api = "api" not in urlsplit(url).path.split("/")
        shown = without_password(url)
        hint = f"; its path should end in /api: {shown.rstrip('/')}/api" if lacks_api else ""
        raise RunError(f"PREFECT_API_URL {shown}: {_refusal(error, lacks_api)}{hint}") from None


def _refusal(error: Exception, lacks_api: bool) -> str:
    from httpx import HTTPStatusError

    code = error.response.status_code if isinstance(error, HTTPStatusError) else None
    if code == 401:
        return "PREFECT_API_AUTH_STRING is missing or wrong"
    if lacks_api and (code is not None or isinstance(error, ValueError)):
        return "this is not the address of Prefect's API"
    if code is not None:
        return f"it answers {code}; is it Prefect's?"
    what = one_line(error) or type(error).__name__
    return f"no Prefect server answers ({what}); start one, or unset the variable"


@contextmanager
def explain_lost_server(temporary: TemporaryServer | None) -> Iterator[None]:
    """Turns what Prefect raises when its server fails during a run into a RunError of one line."""
    from httpx import HTTPStatusError
    from prefect.settings import get_current_settings

    try:
        yield
    except Exception as error:
        failed = failed_call(error)
        if failed is None:
            raise
        at = without_password(str(get_current_settings().api.url))
        server = f"Prefect's server at {at}" if temporary is None else "Prefect's temporary server"
        if isinstance(failed, HTTPStatusError):
            what = f"answers {failed.response.status_code} ({failed.response.reason_phrase})"
        else:
            reason = temporary.reason_of_loss() if temporary else str(failed) or type(failed).__name__
            what = f"stopped answering ({one_line(reason)})"
        raise RunError(f"{server} {what}; finished stages are kept: run again to continue") from None


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
