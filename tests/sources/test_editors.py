"""What editors decide holds, whatever their sources send again."""

from __future__ import annotations

from typing import Any

from feed_server import NOW, FeedServer, rss

from feed.catalogue.article_service import ArticleService
from feed.catalogue.decisions import Editor


def feed(text: str, *sections: str) -> bytes:
    """Return a feed with one article of a text and sections."""
    terms = "".join(f"<category>{section}</category>" for section in sections)
    item = (
        f"<item><title>Ferry</title><guid>https://quay.example/ferry</guid>"
        f"<description>{text}</description>{terms}</item>"
    )
    return rss().replace(b"</channel>", item.encode() + b"</channel>")


def test_retracted_and_erased_articles_survive_ten_polls(desk: Any, server: FeedServer) -> None:
    articles = ArticleService(desk.store, lambda: None, lambda: None)
    source = desk.add(server.say("/feed", feed("Version 0")))
    desk.poll()
    articles.retract("https://quay.example/ferry", Editor("ed", desk.now))
    for number in range(1, 11):
        server.say("/feed", feed(f"Version {number} of the story, with other words"))
        assert desk.poll_when_due(source).failures == 0
        assert articles.read("https://quay.example/ferry").article.retracted
    articles.erase("https://quay.example/ferry", Editor("ed", desk.now))
    for number in range(11, 21):
        server.say("/feed", feed(f"Version {number} of the story, with other words"))
        assert desk.poll_when_due(source).failures == 0
        assert desk.titles() == []


def test_an_undated_article_keeps_the_time_of_its_first_poll(desk: Any, server: FeedServer) -> None:
    source = desk.add(server.say("/feed", feed("First")))
    desk.poll()
    server.say("/feed", feed("Second, with quite some other words"))
    desk.poll_when_due(source)
    (stored,) = desk.store.scan_articles()
    assert stored.article.published_at == NOW
    assert stored.article.standfirst.startswith("Second")


def test_feeds_of_two_sections_make_one_article_that_does_not_flip(
    desk: Any, server: FeedServer
) -> None:
    local = desk.add(server.say("/local", feed("Text", "Local")))
    desk.poll()
    travel = desk.add(server.say("/travel", feed("Text", "Travel")))
    desk.poll()
    for _ in range(2):
        desk.poll_when_due(local)
        desk.poll_when_due(travel)
        (stored,) = desk.store.scan_articles()
        sections = (stored.article.section.lower(), *map(str.lower, stored.article.other_sections))
        assert sections == ("local", "travel")
