"""A loopback server whose answers a test changes, and small feeds for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NOW = 1_790_000_000.0


@dataclass(slots=True)
class Answer:
    """What the server says at one path. `drip`: send a byte, and then wait, again and again."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: bool = False


class FeedServer(ThreadingHTTPServer):
    """Answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.heard: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

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
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if not answer.drip:
                self.wfile.write(answer.content)
            for at in range(len(answer.content) if answer.drip else 0):
                self.wfile.write(answer.content[at : at + 1])
                if self.server.closing.wait(0.05):
                    return
        except ConnectionError:
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
