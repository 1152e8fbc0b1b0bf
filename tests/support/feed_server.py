"""A loopback server whose answers a test changes, and small feeds for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from loopback_server import LoopbackServer

NOW = 1_790_000_000.0


@dataclass(slots=True)
class Answer:
    """What the server says at one path. `drip`: what is sent byte by byte, with pauses."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: Literal["nothing", "headers", "body"] = "nothing"


class FeedServer(LoopbackServer):
    """Answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.answers: dict[str, Answer] = {}
        self.heard: list[tuple[str, dict[str, str]]] = []

    def say(self, path: str, content: bytes = b"", status: int = 200, **headers: str) -> str:
        """Answer a path so from now on; return its address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = Answer(content, status, named)
        return self.base + path


class _Handler(BaseHTTPRequestHandler):
    server: FeedServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.server.heard.append((self.path, dict(self.headers)))
        answer = self.server.answers.get(self.path, Answer(status=404))
        headers = {**answer.headers, "X-Padding": "x" * 500} if answer.drip == "headers" else {}
        self.send_response(answer.status)
        for name, value in (headers or answer.headers).items():
            self.send_header(name, value)
        try:
            if answer.drip == "headers":
                self._drip(b"".join(self._headers_buffer))
            self.end_headers()
            if answer.drip == "body":
                self._drip(answer.content)
            self.wfile.write(answer.content)
        except ConnectionError:
            return

    def _drip(self, content: bytes) -> None:
        for at in range(len(content)):
            self.wfile.write(content[at : at + 1])
            if self.server.closing.wait(0.05):
                return


def rss(*titles: str, channel: str = "", at: float = NOW - 3600) -> bytes:
    """Return a feed with an entry for each title."""
    date = format_datetime(datetime.fromtimestamp(at, UTC))
    items = "".join(
        f"<item><title>{title}</title><link>/news/{title}</link>"
        f"<guid isPermaLink='false'>{title}</guid><pubDate>{date}</pubDate></item>"
        for title in titles
    )
    return (
        f"<rss version='2.0' xmlns:sy='http://purl.org/rss/1.0/modules/syndication/'><channel>"
        f"<title>Quay</title><link>https://quay.example/</link>{channel}{items}</channel></rss>"
    ).encode()
