"""Finds articles by words of their title among the newest."""

from __future__ import annotations

from feed.domain import Article
from feed.service.reader_accounts import present_snapshot
from feed.service.services import Services

NEWEST = 2_000
_CHUNK = 200


def find_by_title(services: Services, words: str, most: int) -> list[Article]:
    """Return the newest articles whose title has every word, live or not.

    Raises:
        StoreUnavailableError: there is no snapshot, or articles cannot be read.
    """
    index = present_snapshot(services).index
    wanted, found = words.casefold().split(), list[Article]()
    rows = index.dated[:NEWEST].tolist()
    for start in range(0, len(rows), _CHUNK):
        ids = [index.pool.ids.ids[row] for row in rows[start : start + _CHUNK]]
        for stored in services.store.read_articles(ids):
            if stored and all(word in stored.article.title.casefold() for word in wanted):
                found.append(stored.article)
        if len(found) >= most:
            break
    return found[:most]
