"""A proxy before Prefect's server that answers some calls with 500, or not at all."""

from __future__ import annotations

import http.client
import random
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DROPPED = ("connection", "transfer-encoding", "content-length")


class FaultyProxy:
    """Passes calls on, apart from one in ten: `how` is "500" or "nothing" (the connection is closed)."""

    def __init__(self, target: int, how: str, seed: int) -> None:
        rng, lock = random.Random(seed), threading.Lock()
        self.faults = 0

        def fails() -> bool:
            with lock:
                failing = rng.random() < 0.1
                self.faults += failing
                return failing

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def pass_on(self) -> None:
                if fails():
                    if how == "500":
                        self.send_error(500)
                    self.close_connection = True
                elif self.headers.get("Upgrade"):
                    _tunnel(self, target)
                else:
                    _forward(self, target)

        for method in ("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler.pass_on)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _forward(handler: BaseHTTPRequestHandler, port: int) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
    connection.request(handler.command, handler.path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    handler.send_response(answer.status)
    for name, value in answer.getheaders():
        if name.lower() not in DROPPED:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
    connection.close()


def _tunnel(handler: BaseHTTPRequestHandler, port: int) -> None:
    """A websocket: bytes both ways until one side ends."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        head = f"{handler.command} {handler.path} HTTP/1.1\r\n{handler.headers}"
        server.sendall(head.encode())
        thread = threading.Thread(target=_copy, args=(server, handler.connection), daemon=True)
        thread.start()
        _copy(handler.connection, server)
        thread.join()
    handler.close_connection = True


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
