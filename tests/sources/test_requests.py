"""What the poller asks servers, and what it makes of their answers."""

from __future__ import annotations

import base64
import gzip
import socket
import zlib
from typing import Any

import pytest
from feed_server import Answer, FeedServer, rss

from feed.sources.directory import Addition
from feed.sources.subscription import Source


def heard_last(server: FeedServer, name: str) -> str | None:
    return server.heard[-1][1].get(name)


def test_only_news_are_asked_for(desk: Any, server: FeedServer) -> None:
    when = "Fri, 27 Nov 2026 08:00:00 GMT"
    source = desk.add(server.say("/feed", rss("one"), ETag='W/"a1"', Last_Modified=when))
    desk.poll()
    assert heard_last(server, "If-None-Match") is None
    server.say("/feed", status=304)
    state = desk.poll_when_due(source)
    assert heard_last(server, "If-None-Match") == 'W/"a1"'
    assert heard_last(server, "If-Modified-Since") == when
    assert (state.message, state.failures, state.articles) == ("nothing new", 0, 1)
    desk.directory.ask(source)  # an operator's own check reads all of it again
    server.say("/feed", rss("one", "two"))
    desk.poll()
    assert heard_last(server, "If-None-Match") is None
    assert desk.titles() == ["one", "two"]
    desk.poll()  # it was asked once and is checked once
    assert len(server.heard) == 3


def test_a_mark_that_cannot_be_sent_back_is_left_out(desk: Any, server: FeedServer) -> None:
    source = desk.add(server.say("/feed", rss("one"), ETag='"caf\xe9"'))
    desk.poll()
    assert desk.poll_when_due(source).failures == 0
    assert heard_last(server, "If-None-Match") is None


def test_a_304_to_a_plain_question_is_an_error(desk: Any, server: FeedServer) -> None:
    source = desk.add(server.say("/feed", status=304))
    desk.poll()
    assert "304" in desk.state(source).message
    assert desk.state(source).failures == 1


def test_the_same_bytes_are_not_read_again(desk: Any, server: FeedServer) -> None:
    source = desk.add(server.say("/feed", rss("one")))
    desk.poll()
    assert desk.poll_when_due(source).message == "nothing new"


@pytest.mark.parametrize(("status", "is_kept"), [(301, True), (308, True), (302, False)])
def test_only_permanent_moves_are_remembered(
    desk: Any, server: FeedServer, status: int, *, is_kept: bool
) -> None:
    server.say("/new", rss("one"))
    source = desk.add(server.say("/feed", status=status, Location="/new"))
    desk.poll()
    assert desk.titles() == ["one"]
    assert desk.state(source).feed_address == (f"{server.base}/new" if is_kept else "")
    desk.poll_when_due(source)
    assert [path for path, _ in server.heard[2:]] == (["/new"] if is_kept else ["/feed", "/new"])


def test_a_permanent_move_after_a_temporary_one_is_not_remembered(
    desk: Any, server: FeedServer
) -> None:
    server.say("/c", rss("one"))
    server.say("/b", status=301, Location="/c")
    source = desk.add(server.say("/a", status=307, Location="/b"))
    desk.poll()
    assert (desk.titles(), desk.state(source).feed_address) == (["one"], "")


def test_a_feed_that_is_lost_after_a_move_is_sought_where_it_was(
    desk: Any, server: FeedServer
) -> None:
    server.say("/new", rss("one"))
    source = desk.add(server.say("/feed", status=301, Location="/new"))
    desk.poll()
    server.say("/new", status=404)
    assert desk.poll_when_due(source).failures == 1
    server.say("/feed", rss("two"))
    desk.poll_when_due(source)
    assert desk.titles() == ["one", "two"]


def test_redirects_in_a_ring_are_an_error(desk: Any, server: FeedServer) -> None:
    server.say("/b", status=302, Location="/a")
    source = desk.add(server.say("/a", status=301, Location="/b"))
    desk.poll()
    assert "redirects" in desk.state(source).message
    assert desk.state(source).feed_address == ""


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_server_that_says_when_is_left_alone_until_then(
    desk: Any, server: FeedServer, status: int
) -> None:
    source = desk.add(server.say("/feed", status=status, Retry_After="5000"))
    desk.poll()
    assert desk.state(source).next_at == desk.now + 5000
    desk.poll(4999)
    assert len(server.heard) == 1
    server.say("/feed", rss("one"))
    desk.poll(1)
    assert desk.titles() == ["one"]


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_drip_ends_with_the_time_limit(desk: Any, server: FeedServer, part: Any) -> None:
    source = desk.add(server.say("/slow"))
    server.answers["/slow"] = Answer(rss("never") * 50, drip=part)
    desk.poll()
    assert "the server takes too long" in desk.state(source).message
    assert desk.titles() == []


def test_a_login_in_the_address_is_used_and_shown_nowhere(desk: Any, server: FeedServer) -> None:
    address = server.say("/feed", status=301, Location=f"{server.base}/new")
    address = address.replace("://", "://desk:se%63ret@")
    server.say("/new", rss("one"))
    source = desk.add(address)
    desk.poll()
    token = base64.b64encode(b"desk:secret").decode()
    assert [headers.get("Authorization") for _, headers in server.heard] == [f"Basic {token}"] * 2
    desk.poll_when_due(source)
    assert server.heard[-1][0] == "/new"
    assert heard_last(server, "Authorization") == f"Basic {token}"
    server.say("/new", status=401)
    state = desk.poll_when_due(source)
    assert "401" in state.message
    assert "cret" not in state.message
    (stored,) = desk.store.scan_articles()
    assert "cret" not in f"{stored.article.url} {stored.article.article_id}"


def test_a_login_that_is_added_later_counts_at_once(desk: Any, server: FeedServer) -> None:
    plain = server.say("/feed", status=401)
    source = desk.add(plain)
    desk.poll()
    assert desk.state(source).failures == 1
    server.say("/feed", rss("one"))
    for login in ("mia:old", "mia:new"):
        address = plain.replace("//", f"//{login}@")
        assert desk.directory.add([Source(address=address)]) == [Addition.NEW_LOGIN]
        assert desk.directory.add([Source(address=address)]) == [Addition.KNOWN]
        desk.poll()
        sent = base64.b64encode(login.encode()).decode()
        assert heard_last(server, "Authorization") == f"Basic {sent}"
    assert desk.state(source).failures == 0
    assert desk.directory.add([Source(address=plain)]) == [Addition.KNOWN]  # an exported list
    assert desk.directory.get(source)[0].address == address


def test_a_new_login_leaves_a_paused_source_alone(desk: Any, server: FeedServer) -> None:
    plain = server.say("/feed", rss("one"))
    source = desk.add(plain, name="Quay")
    desk.directory.pause(source)
    desk.directory.add([Source(address=plain.replace("//", "//mia:new@"))])
    desk.poll()
    assert server.heard == []
    assert desk.directory.get(source)[0].name == "Quay"


def test_a_source_that_is_removed_and_added_again_is_polled_at_once(
    desk: Any, server: FeedServer
) -> None:
    address = server.say("/feed", rss("one"), ETag='"a"')
    source = desk.add(address)
    desk.poll()
    desk.directory.remove(source)
    desk.add(address)
    desk.poll()
    assert len(server.heard) == 2
    assert heard_last(server, "If-None-Match") is None


@pytest.mark.parametrize("by", ["redirect", "page"])
def test_a_login_does_not_follow_to_another_server(desk: Any, server: FeedServer, by: str) -> None:
    with FeedServer.running() as other:
        feed = other.say("/feed", rss("one"))
        page = f"<link rel='alternate' type='application/rss+xml' href='{feed}'>"
        moved = server.say("/moved", status=302, Location=feed)
        address = moved if by == "redirect" else server.say("/page", page.encode())
        desk.add(address.replace("://", "://desk:secret@"))
        desk.poll()
        assert desk.titles() == ["one"]
        assert server.heard[0][1].get("Authorization") is not None
        assert other.heard[0][1].get("Authorization") is None


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251", "utf-16"])
def test_the_character_set_of_the_header_counts(
    desk: Any, server: FeedServer, charset: str
) -> None:
    content = rss("Порт").decode().encode(charset)
    desk.add(server.say("/feed", content, Content_Type=f"text/xml; charset={charset}"))
    desk.poll()
    assert desk.titles() == ["Порт"]


@pytest.mark.parametrize(
    ("path", "content", "headers"),
    [
        ("/feed", gzip.compress(rss("one")), {"Content_Encoding": "gzip"}),
        ("/feed", zlib.compress(rss("one")), {"Content_Encoding": "deflate"}),
        ("/feed", zlib.compress(rss("one"))[2:-4], {"Content_Encoding": "deflate"}),
        ("/feed.xml.gz", gzip.compress(rss("one")), {"Content_Type": "application/gzip"}),
        ("/feed.gz", gzip.compress(gzip.compress(rss("one"))), {"Content_Encoding": "gzip"}),
        ("/feed", rss("one"), {"Content_Encoding": "gzip"}),  # it says so, and is not
    ],
)
def test_compressed_answers_and_files_are_read(
    desk: Any, server: FeedServer, path: str, content: bytes, headers: dict[str, str]
) -> None:
    desk.add(server.say(path, content, **headers))
    desk.poll()
    assert desk.titles() == ["one"]


def test_a_web_page_leads_to_its_feed(desk: Any, server: FeedServer) -> None:
    page = (
        "<html><head><base href='/blog/'>"
        "<link rel='alternate' type='application/rss+xml' href='rss'>"
        "<link rel='alternate' type='application/atom+xml' href='/comments'>"
        "<link rel='alternate' hreflang='de' href='/de'></head></html>"
    )
    server.say("/blog/rss", rss("one"))
    address = server.say("/", page.encode(), Content_Type="text/html")
    source = desk.add(address.replace("://", "://desk:secret@"))
    desk.poll()
    assert desk.titles() == ["one"]
    assert heard_last(server, "Authorization") is not None
    message = desk.state(source).message
    assert "is a web page" in message
    assert f"names 1 more: {server.base.replace('://', '://***@')}/comments" in message
    server.say("/blog/rss", rss("one", "two"))
    desk.poll_when_due(source)
    assert [path for path, _ in server.heard] == ["/", "/blog/rss", "/blog/rss"]
    assert desk.titles() == ["one", "two"]


def test_a_page_whose_feed_is_a_page_is_followed_once(desk: Any, server: FeedServer) -> None:
    page = b"<html><link rel='alternate' type='application/rss+xml' href='/'></html>"
    source = desk.add(server.say("/", page))
    desk.poll()
    assert len(server.heard) == 2
    assert desk.state(source).failures == 1


def test_an_article_is_known_by_the_address_of_its_source(desk: Any, server: FeedServer) -> None:
    undated = (
        b"<rss version='2.0'><channel><title>Q</title><item><title>T</title>"
        b"<guid>https://q.example/1</guid></item></channel></rss>"
    )
    address = server.say("/feed", undated)
    desk.add(address.replace("://", "://name:secret@"))
    desk.poll()
    (stored,) = desk.store.read_articles(["https://q.example/1"])
    assert [one.origin for one in stored.origins] == [address]
    assert stored.article.published_at == desk.now


def test_a_source_gives_articles_and_no_events(desk: Any, server: FeedServer) -> None:
    records = (
        b'[{"article_id": "a", "title": "A", "published_at": "2026-09-21T00:00:00Z"},'
        b'{"event_id": "e", "user_id": "u", "article_id": "a", "kind": "click"}]'
    )
    source = desk.add(server.say("/feed.json", records))
    desk.poll()
    assert desk.titles() == ["A"]
    assert sum(desk.store.stream_lengths()) == 0
    assert "1 event left out" in desk.state(source).message


def test_a_slow_host_does_not_hold_up_another(
    desk: Any, server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *rest, **more: usual("127.0.0.1", *rest, **more)
    )
    server.say("/fast", rss("one"))
    server.answers["/slow"] = Answer(rss("never") * 50, drip="body")
    slow = desk.add(f"http://slow.example:{server.server_port}/slow")
    fast = desk.add(f"http://fast.example:{server.server_port}/fast")
    while not desk.state(fast).checked_at:
        desk.poller.tick(desk.now)
    assert desk.titles() == ["one"]
    assert desk.state(slow).checked_at == 0
    desk.poller.finish(desk.now)
    assert desk.state(slow).failures == 1
