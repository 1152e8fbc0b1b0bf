"""A loopback server that takes in alerts and answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

SECRET = "a-secret-of-at-least-thirty-two-bytes"
CUT = 0
"""In place of a status: the connection is cut before an answer."""


class Receiver(ThreadingHTTPServer):
    """Remembers every request; answers `answers` in turn, and then always 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.closing = threading.Event()
        self.hangs = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/secret-path?token=secret-query"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [orjson.loads(content) for _, _, content in self.heard]

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Receiver]:
        """Serve in a thread until the context ends."""
        with cls() as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield server
            finally:
                server.closing.set()
                server.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, dict(self.headers), content))
        if self.server.hangs:
            self.server.closing.wait()
            return
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == CUT:
            self.connection.close()
            return
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
