"""Patience with a Prefect server that is busy: on SQLite it answers 503 to a call that another one overtakes.

The server reads and then writes in one transaction; if another transaction has written in between, SQLite refuses with
"database is locked", at once. Prefect's client counts such an answer like a server that is gone, and gives up after
`client.max_retries`. Here these answers are repeated within seconds, without counting.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from httpx import HTTPError, Request, Response

BUSY = 503
SECONDS_OF_PATIENCE = 10.0
"""For one call; after that it counts as one of Prefect's own attempts."""
SHORTEST_WAIT, LONGEST_WAIT = 0.05, 0.4


def be_patient() -> None:
    """From now on Prefect's clients of this process repeat calls that a busy server refuses."""
    from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient

    for client, patient in ((PrefectHttpxSyncClient, _patient), (PrefectHttpxAsyncClient, _patient_async)):
        sending = client._send_with_retry
        if not hasattr(sending, "__wrapped__"):
            client._send_with_retry = _with_send(sending, patient)  # type: ignore[method-assign]


def _with_send(sending: Callable[..., Any], patient: Callable[[Any], Any]) -> Callable[..., Any]:
    """Prefect's method with its argument `send` replaced."""

    @wraps(sending)
    def send_with_retry(self: object, *, request: Request, send: Any, **others: Any) -> Any:
        return sending(self, request=request, send=patient(send), **others)

    return send_with_retry


def _patient(send: Callable[..., Response]) -> Callable[..., Response]:
    def repeat(request: Request, *args: Any, **kwargs: Any) -> Response:
        until = time.monotonic() + SECONDS_OF_PATIENCE
        while (response := send(request, *args, **kwargs)).status_code == BUSY and time.monotonic() < until:
            time.sleep(_wait())
        return response

    return repeat


def _patient_async(send: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    async def repeat(request: Request, *args: Any, **kwargs: Any) -> Response:
        until = time.monotonic() + SECONDS_OF_PATIENCE
        while (response := await send(request, *args, **kwargs)).status_code == BUSY and time.monotonic() < until:
            await asyncio.sleep(_wait())
        return response

    return repeat


def _wait() -> float:
    """Seconds, drawn at random, so that two clients do not meet again."""
    return random.uniform(SHORTEST_WAIT, LONGEST_WAIT)  # noqa: S311  # nosec B311


def failed_call(error: BaseException) -> HTTPError | None:
    """The call to Prefect's server that has led to this error: itself, or the cause of one of Prefect's errors."""
    from httpx import HTTPError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HTTPError):
        cause = cause.__cause__ if type(cause).__module__.startswith("prefect.") else None
    return cause
