"""The client against a server that fails as servers do: busy, gone in the middle, or for good."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from feed.client import ENCODED_ARTICLES, MAX_ARTICLES, ApiError, FeedClient
from feed.domain import Article, Event, EventKind, InvalidInputError, Submission

BUSY, REFUSED, BREAK, FINE = 503, 422, 0, 200
TIMEOUT_S = 30.0


class Scripted:
    """A server that answers each request with the next status of its script; 0 hangs up.

    Each request first waits at the gate.
    """

    def __init__(self, port: int = 0) -> None:
        self.script: list[int] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.targets: list[str] = []
        self.retry_after = "0.01"
        self.content: bytes | None = None
        self.gate = threading.Barrier(1)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                outer.answer(self)

            def do_GET(self) -> None:
                outer.answer(self)

            def do_PUT(self) -> None:
                outer.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.bodies.append(orjson.loads(body) if body else None)
        self.headers.append(dict(request.headers))
        self.targets.append(request.path)
        self.gate.wait(TIMEOUT_S)
        status = self.script.pop(0)
        if status == BREAK:
            request.close_connection = True
            return
        events = (self.bodies[-1] or {}).get("events", [])
        answer = {"accepted": len(events), "duplicate": 0, "rejected": 0, "detail": "in words"}
        content = orjson.dumps(answer) if self.content is None else self.content
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        if status == BUSY:
            request.send_header("Retry-After", self.retry_after)
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
    with FeedClient(server.url, **options) as client:
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


@pytest.mark.parametrize("status", [BUSY, BREAK])
def test_what_may_not_be_done_twice_is_sent_once(server: Scripted, status: int) -> None:
    server.script = [status, FINE]
    with FeedClient(server.url) as client, pytest.raises((ApiError, ConnectionError)):
        client.call("POST", "/v1/experiments", body={})
    assert len(server.bodies) == 1


def test_what_was_never_sent_is_sent_again_whatever_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with FeedClient(f"http://127.0.0.1:{port}", retries=9) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.call, "POST", "/v1/experiments", body={})
        time.sleep(0.1)  # the first try has failed by now
        with closing(Scripted(port)) as late:
            late.script = [FINE]
            assert waiting.result(TIMEOUT_S)["detail"] == "in words"


def test_a_refusal_is_final(server: Scripted) -> None:
    with pytest.raises(ApiError, match="422: in words"):
        send(server, [REFUSED, FINE])
    assert len(server.bodies) == 1


def test_many_events_go_in_batches_and_are_added_up(server: Scripted) -> None:
    counts = send(server, [FINE, BUSY, FINE], count=501)
    assert counts == {"accepted": 501, "duplicate": 0, "waiting": 0, "rejected": 0}
    assert [len(body["events"]) for body in server.bodies] == [500, 1, 1]


def test_a_custom_event_goes_with_its_name_and_value_alone(server: Scripted) -> None:
    custom = replace(event(1), kind=EventKind.CUSTOM, article_id="", name="paid", value=2.5)
    server.script = [FINE]
    with FeedClient(server.url) as client:
        client.send_events([custom])
    (sent,) = server.bodies[0]["events"]
    assert sent == {
        "event_id": "e1",
        "user_id": "reader",
        "kind": "custom",
        "occurred_at": "1970-01-01T00:00:00.000Z",
        "name": "paid",
        "value": 2.5,
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": EventKind.CUSTOM, "name": "Paid"}, "name"),
        ({"kind": EventKind.CUSTOM, "name": "paid", "value": float("nan")}, "value"),
        ({"kind": EventKind.CUSTOM, "name": "paid", "value": -2e12}, "value"),
        ({"name": "paid"}, "name"),
        ({"article_id": ""}, "article_id"),
    ],
)
def test_an_event_that_breaks_a_rule_is_not_sent(
    server: Scripted, fields: dict[str, Any], field: str
) -> None:
    with FeedClient(server.url) as client, pytest.raises(InvalidInputError, match=f"^{field}: "):
        client.send_events([replace(event(1), **fields)])
    assert server.bodies == []


def test_the_key_is_sent_as_a_bearer_token(server: Scripted) -> None:
    send(server, [FINE], api_key="secret")
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_threads_may_share_a_client(server: Scripted) -> None:
    threads = 8
    server.gate = threading.Barrier(threads)  # it answers when all requests are there
    server.script = [FINE] * threads
    with FeedClient(server.url) as client, ThreadPoolExecutor(threads) as pool:
        counts = [*pool.map(lambda n: client.send_events([event(n)]), range(threads))]
    assert [count["accepted"] for count in counts] == [1] * threads
    sent = [body["events"][0]["event_id"] for body in server.bodies]
    assert sorted(sent) == [f"e{n}" for n in range(threads)]


def test_a_query_has_only_what_was_given(server: Scripted) -> None:
    server.script = [FINE]
    with FeedClient(server.url) as client:
        client.feed("reader/1", limit=20, cursor=None)
    assert server.targets == ["/v1/feed?user_id=reader%2F1&limit=20"]


def test_what_a_reader_follows_is_added_and_nothing_of_it_stays_muted(server: Scripted) -> None:
    kept = {"muted_sources": ["Gazette"], "languages": ["da"], "personalization": True}
    before = {"followed_sections": ["sport"], "muted_sections": ["food"], "followed_sources": []}
    server.content = orjson.dumps({"user_id": "a/b", **before, **kept})
    server.script = [FINE, FINE]
    with FeedClient(server.url) as client:
        client.follow("a/b", sections=["food", "sport"], sources=["Herald"])
    assert server.targets == ["/v1/users/a%2Fb/preferences"] * 2
    after = {"followed_sections": ["sport", "food"], "muted_sections": []}
    assert server.bodies[1] == {**after, "followed_sources": ["Herald"], **kept}


def test_an_address_may_have_a_path(server: Scripted) -> None:
    server.script = [FINE]
    with FeedClient(f"{server.url}/news/") as client:
        client.trending()
    assert server.targets == ["/news/v1/trending"]


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://127.0.0.1", "localhost"])
def test_an_address_that_is_not_http_is_refused(address: str) -> None:
    with pytest.raises(InvalidInputError, match="must begin with http"):
        FeedClient(address)


@pytest.mark.parametrize("status", [FINE, 404, 502])
def test_an_answer_that_is_not_json_is_an_error_that_says_so(server: Scripted, status: int) -> None:
    server.script, server.content = [status], b"<html>a proxy's page</html>"
    words = "not a JSON object" if status == FINE else "Not Found|Bad Gateway"
    with (
        FeedClient(server.url, retries=0) as client,
        pytest.raises(ApiError, match=words) as caught,
    ):
        client.feed("reader")
    assert caught.value.status == status


def test_a_time_to_wait_that_is_a_date_is_not_a_defect(server: Scripted) -> None:
    server.script, server.retry_after = [BUSY], "Fri, 27 Nov 2026 12:00:00 GMT"
    with pytest.raises(ApiError) as caught:
        send(server, server.script, retries=0)
    assert caught.value.retry_after_s is None


@pytest.mark.timeout(4)  # less than the default of httpx, which would hide a timeout not passed on
def test_a_service_that_does_not_answer_in_time_is_a_connection_error(server: Scripted) -> None:
    server.gate = threading.Barrier(2)
    server.script = [FINE]
    client = FeedClient(server.url, timeout_s=0.05, retries=0)
    with client, pytest.raises(ConnectionError, match="timed out"):
        client.feed("reader")
    server.gate.wait(TIMEOUT_S)


def test_articles_are_sent_in_batches_of_a_bounded_size() -> None:
    article = Article(article_id="a", title="T", published_at=0.0, body="x" * 300_000)
    with closing(Scripted()) as server, FeedClient(server.url) as client:
        server.script = [FINE] * 3
        server.content = b'{"results": []}'
        client.send_articles([article] * 7, "https://paper.example/feed")
        assert [len(body["articles"]) for body in server.bodies] == [3, 3, 1]
        assert {body["origin"] for body in server.bodies} == {"https://paper.example/feed"}
        server.script = [FINE]
        client.send_articles([Submission(article, frozenset({"updated_at", "retracted"}))])
        assert server.bodies[-1]["articles"] == [
            {"article_id": "a", "title": "T", "updated_at": None, "retracted": False}
        ]
        server.script = [FINE]
        client.send_articles([article])
        assert not {"retracted", "updated_at"} & server.bodies[-1]["articles"][0].keys()


def test_articles_whose_texts_are_encoded_before_the_answer_go_in_smaller_batches() -> None:
    article = Article(article_id="a", title="T", published_at=0.0)
    with closing(Scripted()) as server, FeedClient(server.url) as client:
        server.content = b'{"results": []}'
        server.script = [FINE] * 2
        client.send_articles([article] * (MAX_ARTICLES + 1), "https://paper.example/feed")
        assert [len(body["articles"]) for body in server.bodies] == [MAX_ARTICLES, 1]
        server.script = [FINE] * 2
        client.send_articles([article] * (ENCODED_ARTICLES + 1))
        assert [len(body["articles"]) for body in server.bodies[2:]] == [ENCODED_ARTICLES, 1]
