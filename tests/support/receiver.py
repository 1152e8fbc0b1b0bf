"""A loopback server that takes in alerts and answers as a test says."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

import orjson
from loopback_server import LoopbackServer

SECRET = "a-secret-of-at-least-thirty-two-bytes"
CUT = 0
"""In place of a status: the connection is cut before an answer."""


class Receiver(LoopbackServer):
    """Remembers every request; answers `answers` in turn, and then always 200."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.answers: list[int] = []
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.hangs = False

    @property
    def url(self) -> str:
        return f"{self.base}/hook/secret-path?token=secret-query"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [orjson.loads(content) for _, _, content in self.heard]


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
