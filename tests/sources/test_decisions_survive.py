"""What the newsroom decided survives polls of a feed that goes on changing, under load."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from feed_server import FeedServer, rss

from feed.catalogue.article_service import ArticleService
from feed.catalogue.decisions import Editor
from feed.domain import Article, Event, EventKind, Submission
from feed.ingest.reading import read_documents

POLLS = 10
NAMES = ("retracted", "erased", "patched", "free")


def ids_by_title(desk: Any) -> dict[str, str]:
    return {
        stored.article.title: stored.article.article_id for stored in desk.store.scan_articles()
    }


def test_decisions_survive_ten_polls_under_load(desk: Any, server: FeedServer) -> None:
    source = desk.add(server.say("/feed", rss(*NAMES)))
    desk.poll()
    ids = ids_by_title(desk)
    service = ArticleService(desk.store, lambda: None, lambda: None)
    service.retract(ids["retracted"], Editor("ed", desk.now))
    service.erase(ids["erased"], Editor("ed", desk.now))
    sponsored = Article(article_id=ids["patched"], title="", published_at=0.0, sponsored=True)
    service.patch(Submission(sponsored, frozenset({"sponsored"})), Editor("ed", desk.now))
    stop = threading.Event()

    def read_and_write(number: int) -> None:
        for turn in range(10_000):
            if stop.is_set():
                return
            event = Event(
                event_id=str(turn),
                user_id=f"reader-{number}",
                article_id=ids["free"],
                kind=EventKind.CLICK,
                occurred_at=desk.now,
                received_at=desk.now,
            )
            desk.store.append_events([event])
            author = Article(article_id=ids["free"], title="", published_at=0.0, author=f"A{turn}")
            service.patch(Submission(author, frozenset({"author"})), Editor("ed", desk.now))

    with ThreadPoolExecutor(3) as pool:
        load = [pool.submit(read_and_write, number) for number in range(3)]
        for number in range(POLLS):
            server.say("/feed", rss(*NAMES, f"new {number}"))
            assert desk.poll_when_due(source).failures == 0
        stop.set()
    for one in load:
        one.result()
    retracted, erased, patched, free = desk.store.read_articles([ids[name] for name in NAMES])
    assert retracted.article.retracted
    assert erased is None
    assert patched.article.sponsored
    assert free.article.author.startswith("A")
    assert len(ids_by_title(desk)) == len(NAMES) - 1 + POLLS


def test_a_feed_is_one_origin_whether_it_is_ingested_or_polled(
    desk: Any, server: FeedServer
) -> None:
    address = server.say("/feed", rss("one"))
    documents = read_documents(address.replace("://", "://name:secret@"), None, desk.now)
    assert documents.origin == address
    desk.add(address)
    desk.poll()
    (stored,) = desk.store.scan_articles()
    (whole,) = desk.store.read_articles([stored.article.article_id])
    assert [one.origin for one in whole.origins] == [documents.origin]
    assert replace(whole.article, published_at=0.0) == replace(
        documents.articles[0], published_at=0.0
    )
