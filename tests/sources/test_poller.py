"""The life of sources, polled from a loopback server."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from feed_server import FeedServer, rss
from prometheus_client import REGISTRY

from feed.domain import FeedError, InvalidInputError, StoreUnavailableError
from feed.sources.checking import SourceCheck
from feed.sources.configured import configured_sources
from feed.sources.subscription import Source, SourceStatus, status_of

OUTCOMES = ("read", "failed")


def test_a_source_is_added_polled_changed_moved_broken_and_mended(
    desk: Any, server: FeedServer
) -> None:
    source = desk.add(server.say("/feed", rss("one")))
    desk.poll()
    assert desk.titles() == ["one"]
    assert desk.state(source).message == "1 article (1 created)"
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
        (zlib.compress(rss("one"))[:-2], {"Content_Encoding": "deflate"}, "not whole"),
        (rss("one"), {"Content_Encoding": "br"}, "compressed by br"),
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


def test_one_leads_and_another_stands_by(desk: Any, server: FeedServer) -> None:
    source = desk.add(server.say("/feed", rss("one")))
    desk.poll()
    second = desk.make_poller("second")
    second.tick(desk.now + 3600)
    second.finish(desk.now + 3600)
    assert len(server.heard) == 1
    desk.poller.stop()
    desk.poller = second
    assert desk.poll_when_due(source).message == "nothing new"  # it knows what the first one found
    assert len(server.heard) == 2


class Catalogue:
    """A catalogue in front of which something happens at a call."""

    def __init__(self, inner: Any, happen: Callable[[], None]) -> None:
        self._inner, self._happen = inner, happen

    def upsert(self, submissions: Any, *rest: Any) -> list[str]:
        self._happen()
        return list(self._inner.upsert(submissions, *rest))


def test_what_the_store_did_not_take_is_fetched_again(desk: Any, server: FeedServer) -> None:
    calls = []

    def fail_at_the_second() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise StoreUnavailableError("gone")

    source = desk.add(server.say("/feed", rss(*(f"t{n}" for n in range(60)))))
    desk.poller._articles = Catalogue(desk.poller._articles, fail_at_the_second)
    with pytest.raises(StoreUnavailableError):
        desk.poll()
    assert desk.state(source).checked_at == 0
    desk.poll()
    assert len(desk.titles()) == 60
    assert desk.state(source).message == "60 articles (35 created)"


def test_a_large_document_is_left_off_when_the_worker_stops(desk: Any, server: FeedServer) -> None:
    source = desk.add(server.say("/feed", rss(*(f"t{n}" for n in range(60)))))
    desk.poller._articles = Catalogue(desk.poller._articles, desk.poller.interrupt)
    with pytest.raises(FeedError):
        desk.poll()
    assert len(desk.titles()) == 25
    desk.poller.stop()
    desk.poller = desk.make_poller("next")
    desk.poll()
    assert (len(desk.titles()), desk.state(source).articles) == (60, 60)


def test_a_defect_at_one_source_does_not_stop_the_others(desk: Any, server: FeedServer) -> None:
    class Checker:
        """Cannot cope with one of the documents."""

        def check(self, source: Source, *rest: Any) -> SourceCheck:
            if source.address.endswith("/bad"):
                raise RecursionError
            return usual.check(source, *rest)

    usual, desk.poller._checker = desk.poller._checker, Checker()
    bad = desk.add(server.say("/bad", rss("bad")))
    desk.add(server.say("/good", rss("good")))
    desk.poll()
    desk.poll()
    assert desk.titles() == ["good"]
    assert desk.state(bad).message == "can't be read: RecursionError"


def test_one_host_gets_one_request_at_a_time(desk: Any, server: FeedServer) -> None:
    for number in range(3):
        desk.add(server.say(f"/{number}", rss(f"t{number}")))
    for asked in (1, 2, 3):
        desk.poll()
        assert len(server.heard) == asked
    assert len(desk.titles()) == 3


def test_a_paused_source_is_left_alone_and_a_removed_one_forgotten(
    desk: Any, server: FeedServer
) -> None:
    source = desk.add(server.say("/feed", rss("one")))
    desk.directory.pause(source)
    desk.poll()
    assert server.heard == []
    desk.directory.resume(source)
    desk.poller.tick(desk.now)
    desk.directory.remove(source)  # while it is being checked
    desk.poller.tick(desk.now)
    desk.poller.finish(desk.now)
    assert (desk.directory.states(), desk.titles()) == ({}, [])


def test_configured_sources_are_added_when_a_poller_begins_to_lead(
    desk: Any, server: FeedServer
) -> None:
    address = server.say("/feed", rss("one"))
    desk.settings = replace(desk.settings, sources=f" {address},{address} ")
    desk.poller = desk.make_poller("configured")
    desk.poll()
    assert (desk.titles(), len(desk.directory.all())) == (["one"], 1)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("quay.example/rss", "neither an address nor a file"),
        ("http://", "must be an http"),
        (__file__, "line 1"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=f"FEED_SOURCES: .*{words}"):
        configured_sources(setting)


def test_findings_are_shown_and_bounded(desk: Any, server: FeedServer) -> None:
    untitled = b"<item><guid>%s</guid></item>"
    items = b"".join(untitled % (b"g" * 300 + b"%d" % n) for n in range(100))
    feed = b"<rss version='2.0'><channel><title>Q</title>" + items + b"</channel></rss>"
    source = desk.add(server.say("/feed", feed))
    desk.poll()
    state = desk.state(source)
    assert (state.articles, state.left_out, len(state.findings)) == (0, 100, 20)
    assert state.findings[0][1:] == ("title", "has neither a title nor a text")
    assert max(len(record) for record, *_ in state.findings) <= 200
    assert state.message == "0 articles (nothing new); 100 records left out"


def test_polling_shows_in_the_metrics(desk: Any, server: FeedServer) -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    read, failed = (partial(count, "feed_source_checks_total", outcome=o) for o in OUTCOMES)
    created = partial(count, "feed_source_articles_total", status="created")
    before = read(), failed(), created()
    desk.add(server.say("/feed", rss("one", "two")))
    desk.add(server.say("/broken", status=500))
    desk.poll()
    desk.poll()
    desk.poll(60)
    assert (read(), failed(), created()) == (before[0] + 1, before[1] + 1, before[2] + 2)
    assert count("feed_sources", status="failing") == 1
    assert count("feed_sources", status="active") == 1
