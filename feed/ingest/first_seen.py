"""Keeps the time when an article without a time of publication was first seen."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from feed.client import ApiError, FeedClient
from feed.domain import Article, parse_time
from feed.ingest.documents import Documents


def keep_first_seen(documents: Documents, client: FeedClient) -> None:
    """Give undated articles that the service has already the time that it has for them.

    Otherwise each reading of the source would make them the newest articles of all.

    Raises:
        ApiError: the service refused to say.
        ConnectionError: the service could not be reached.
    """
    documents.articles = [
        _as_first_seen(article, client) if article.article_id in documents.undated else article
        for article in documents.articles
    ]


def _as_first_seen(article: Article, client: FeedClient) -> Article:
    try:
        known = client.call("GET", f"/v1/articles/{quote(article.article_id, safe='')}")
    except ApiError as error:
        if error.status == 404:
            return article
        raise
    return replace(article, published_at=parse_time("published_at", known["published_at"]))
