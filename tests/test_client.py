"""The client against a server that fails as servers do: busy, gone in the middle, or for good."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from feed.client import ApiError, FeedClient
from feed.domain import Event, EventKind

BUSY, REFUSED, BREAK, FINE = 503, 422, 0, 200


class Scripted:
    """A server that answers each request with the next status of its script; 0 hangs up."""

    def __init__(self) -> None:
        self.script: list[int] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                outer.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.bodies.append(orjson.loads(body) if body else None)
        self.headers.append(dict(request.headers))
        status = self.script.pop(0)
        if status == BREAK:
            request.close_connection = True
            return
        events = (self.bodies[-1] or {}).get("events", [])
        answer = {"accepted": len(events), "duplicate": 0, "rejected": 0, "detail": "in words"}
        content = orjson.dumps(answer)
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        if status == BUSY:
            request.send_header("Retry-After", "0.01")
        request.end_headers()
        request.wfile.write(content)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    with closing(Scripted()) as running:
        yield running


def event(number: int) -> Event:
    return Event(
        event_id=f"e{number}",
        user_id="reader",
        article_id="a",
        kind=EventKind.CLICK,
        occurred_at=0.0,
        received_at=0.0,
    )


def send(server: Scripted, script: Sequence[int], count: int = 1, **options: Any) -> dict[str, int]:
    server.script = [*script]
    with closing(FeedClient(server.url, **options)) as client:
        return client.send_events([event(n) for n in range(count)])


@pytest.mark.parametrize("script", [[BUSY, BUSY, FINE], [BREAK, FINE], [BUSY, BREAK, FINE]])
def test_a_busy_or_broken_service_is_asked_again(server: Scripted, script: list[int]) -> None:
    assert send(server, script)["accepted"] == 1
    assert server.bodies == [server.bodies[0]] * len(script)


def test_a_service_that_stays_busy_is_an_error_after_the_last_try(server: Scripted) -> None:
    with pytest.raises(ApiError, match="in words") as caught:
        send(server, [BUSY] * 9, retries=2)
    assert (caught.value.status, caught.value.retry_after_s) == (503, 0.01)
    assert len(server.bodies) == 3


def test_a_connection_that_always_breaks_is_an_error_after_the_last_try(server: Scripted) -> None:
    with pytest.raises(ConnectionError, match="POST /v1/events"):
        send(server, [BREAK] * 9, retries=1)
    assert len(server.bodies) == 2


def test_a_refusal_is_final(server: Scripted) -> None:
    with pytest.raises(ApiError, match="422: in words"):
        send(server, [REFUSED, FINE])
    assert len(server.bodies) == 1


def test_many_events_go_in_batches_and_are_added_up(server: Scripted) -> None:
    counts = send(server, [FINE, BUSY, FINE], count=501)
    assert counts == {"accepted": 501, "duplicate": 0, "rejected": 0}
    assert [len(body["events"]) for body in server.bodies] == [500, 1, 1]


def test_the_key_is_sent_as_a_bearer_token(server: Scripted) -> None:
    send(server, [FINE], api_key="secret")
    assert server.headers[0]["Authorization"] == "Bearer secret"
