"""The life of sources, polled from a loopback server."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from feed_server import FeedServer, rss

from feed.sources.subscription import SourceStatus, status_of


def test_a_source_is_added_polled_changed_moved_broken_and_mended(
    desk: Any, server: FeedServer
) -> None:
    source = desk.add(server.say("/feed", rss("one")))
    desk.poll()
    assert desk.titles() == ["one"]
    assert desk.state(source).message == "1 articles: 1 created"
    assert desk.state(source).title == "Quay"

    server.say("/feed", rss("one", "two"))  # changed
    state = desk.poll_when_due(source)
    assert desk.titles() == ["one", "two"]
    assert (state.articles, state.changed_at) == (2, desk.now)

    server.say("/new", rss("two", "three"))  # moved; an entry that vanishes stays an article
    server.say("/feed", status=301, Location="/new")
    state = desk.poll_when_due(source)
    assert desk.titles() == ["one", "three", "two"]
    assert state.feed_address == f"{server.base}/new"
    assert "moved to" in state.message

    server.say("/new", status=500)  # broken
    state = desk.poll_when_due(source)
    assert (state.failures, "500" in state.message) == (1, True)
    assert [path for path, _ in server.heard][-2:] == ["/new", "/new"]  # the move is remembered

    server.say("/new", rss("three", "four"))  # mended
    state = desk.poll_when_due(source)
    assert (state.failures, state.succeeded_at) == (0, desk.now)
    assert desk.titles() == ["four", "one", "three", "two"]

    server.say("/new", status=410)  # gone for good
    state = desk.poll_when_due(source)
    assert status_of(desk.directory.get(source)[0], state) is SourceStatus.GONE
    asked = len(server.heard)
    desk.poll(10 * 86_400)
    assert len(server.heard) == asked
    server.say("/new", rss("five"))
    desk.directory.resume(source)
    desk.poll()
    assert "five" in desk.titles()


@pytest.mark.parametrize(
    ("content", "headers", "why"),
    [
        (b"", {}, "empty"),
        (rss("one")[:-30], {}, "breaks off"),
        (rss("one"), {"Content_Length": "9999"}, "can't be fetched"),
        (gzip.compress(rss("one"))[:-12], {"Content_Encoding": "gzip"}, "not whole"),
        (gzip.compress(rss("one"))[:-12], {}, "not whole"),
        (b"<html><p>Sorry</html>", {}, "must be an RSS"),
        (b"not a feed", {}, "must be an RSS"),
    ],
)
def test_what_is_broken_takes_nothing_and_says_why(
    desk: Any, server: FeedServer, content: bytes, headers: dict[str, str], why: str
) -> None:
    source = desk.add(server.say("/feed", content, **headers))
    desk.poll()
    assert desk.titles() == []
    state = desk.state(source)
    assert why in state.message
    assert (state.failures, state.succeeded_at) == (1, 0)
    server.say("/feed", rss("one"))
    desk.poll_when_due(source)
    assert desk.titles() == ["one"]
