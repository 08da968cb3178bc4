"""A Prefect server on SQLite that answers 503 for a moment, or for good."""

from __future__ import annotations

import asyncio
import http.server
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.concurrency._asyncio import ConcurrencySlotAcquisitionError

from flows.ops.environment import explain_lost_server
from flows.ops.log_lines import _is_unexpected
from flows.pipeline.busy_server import be_patient, failed_call
from tasks.shared.errors import RunError


@contextmanager
def busy_server(refusals: int) -> Iterator[tuple[str, list[int]]]:
    """A server that answers 503 to its first calls, and the numbers of its answers."""
    answers: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.append(503 if len(answers) < refusals else 200)
            self.send_response(answers[-1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", answers
    finally:
        server.shutdown()
        server.server_close()


def test_a_busy_server_is_asked_again_and_counts_as_no_attempt(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    be_patient()
    be_patient()  # twice does no harm
    with busy_server(7) as (url, answers), PrefectHttpxSyncClient(enable_csrf_support=False) as client:
        assert client.get(url).status_code == 200
        assert answers == [503] * 7 + [200]

    async def ask() -> int:
        with busy_server(3) as (url, _):
            async with PrefectHttpxAsyncClient(enable_csrf_support=False) as client:
                return (await client.get(url)).status_code

    assert asyncio.run(ask()) == 200


def status_error() -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://127.0.0.1:4200/api/v2/concurrency_limits/increment-with-lease")
    return httpx.HTTPStatusError("long text", request=request, response=httpx.Response(503, request=request))


def test_an_error_of_prefects_that_a_failed_call_caused_is_one_line():
    line = r"answers 503 \(Service Unavailable\); finished stages are kept: run again to continue$"
    with pytest.raises(RunError, match=line), explain_lost_server(None):
        raise ConcurrencySlotAcquisitionError("no slots") from status_error()


def test_prefects_report_of_such_an_error_is_not_printed():
    for error, printed in ((ConcurrencySlotAcquisitionError("no slots"), False), (ValueError("a bug"), True)):
        error.__cause__ = status_error()
        record = logging.makeLogRecord({"msg": "Encountered exception", "exc_info": (type(error), error, None)})
        assert _is_unexpected(record) is printed


def test_an_error_of_our_own_stays_what_it_is():
    with pytest.raises(ValueError, match="a bug"), explain_lost_server(None):
        raise ValueError("a bug") from status_error()
    assert failed_call(ValueError("a bug")) is None
