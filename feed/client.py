"""A small Python client of the HTTP API, on the standard library alone."""

from __future__ import annotations

import http.client
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from feed.domain import Article, Event, FeedError, format_time

MAX_EVENTS = 500
MAX_ARTICLES = 100


class ApiError(FeedError):
    """The service answered with a problem; `status` is the HTTP status."""

    def __init__(self, status: int, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.retry_after_s = retry_after_s


class FeedClient:
    """Calls one feed service over one kept-alive connection. Not for use by several threads.

    Args:
        base_url: such as `http://127.0.0.1:8000`.
        api_key: sent as a bearer token when given.
        timeout_s: seconds to wait for an answer.
        retries: how often a request is sent again when the connection breaks or the service
            answers 503; events carry ids, so a repeated batch changes nothing.
    """

    def __init__(
        self, base_url: str, api_key: str = "", timeout_s: float = 30.0, retries: int = 3
    ) -> None:
        parts = urllib.parse.urlsplit(base_url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._retries = retries

    def feed(self, user_id: str, **parameters: Any) -> dict[str, Any]:
        """Return a page of a reader's feed; `parameters` are the query's (limit, cursor ...)."""
        return self.call("GET", "/v1/feed", query={"user_id": user_id, **parameters})

    def trending(self, **parameters: Any) -> dict[str, Any]:
        """Return what is trending and the numbers behind it."""
        return self.call("GET", "/v1/trending", query=parameters)

    def send_events(self, events: Iterable[Event]) -> dict[str, int]:
        """Send events in batches; return how many were accepted, duplicate and rejected."""
        counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
        for batch in _batches(list(events), MAX_EVENTS):
            answer = self.call(
                "POST", "/v1/events", body={"events": [event_to_json(e) for e in batch]}
            )
            for name in counts:
                counts[name] += int(answer[name])
        return counts

    def send_articles(self, articles: Sequence[Article]) -> list[dict[str, Any]]:
        """Insert or replace articles; return the result of each."""
        results: list[dict[str, Any]] = []
        for batch in _batches(articles, MAX_ARTICLES):
            answer = self.call(
                "POST", "/v1/articles", body={"articles": [article_to_json(a) for a in batch]}
            )
            results += answer["results"]
        return results

    def call(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Any = None,
    ) -> dict[str, Any]:
        """Send one request and return the JSON object it answers.

        Raises:
            ApiError: the service answered with a problem.
            ConnectionError: the service could not be reached.
        """
        given = {k: v for k, v in (query or {}).items() if v is not None}
        target = f"{path}?{urllib.parse.urlencode(given)}" if given else path
        data = None if body is None else orjson.dumps(body)
        for attempt in range(self._retries + 1):
            try:
                return self._send(method, target, data)
            except ApiError as problem:
                if problem.status != 503 or attempt == self._retries:
                    raise
                time.sleep(min(5.0, problem.retry_after_s or 1.0))
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if attempt == self._retries:
                    raise ConnectionError(f"{method} {path}: {error}") from error
                time.sleep(0.2 * 2**attempt)
        raise ConnectionError(f"{method} {path}: no answer")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, method: str, target: str, data: bytes | None) -> dict[str, Any]:
        self._connection.request(method, target, body=data, headers=self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        document: dict[str, Any] = orjson.loads(content) if content else {}
        if answer.status >= 400:
            wait = answer.getheader("Retry-After")
            detail = document.get("detail") or document.get("title") or answer.reason
            raise ApiError(answer.status, str(detail), float(wait) if wait else None)
        return document


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event as the API takes it."""
    optional = {
        "dwell_s": event.dwell_s,
        "request_id": event.request_id,
        "position": event.position,
        "context": event.context or None,
    }
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "article_id": event.article_id,
        "kind": event.kind.value,
        "occurred_at": format_time(event.occurred_at),
        **{name: value for name, value in optional.items() if value is not None},
    }


def article_to_json(article: Article) -> dict[str, Any]:
    """Return an article as the API takes it."""
    times = {
        name: format_time(value)
        for name in ("published_at", "updated_at", "expires_at")
        if (value := getattr(article, name)) is not None
    }
    vector = {} if article.embedding is None else {"embedding": list(article.embedding)}
    return {
        "article_id": article.article_id,
        "title": article.title,
        "standfirst": article.standfirst,
        "body": article.body,
        "url": article.url,
        "image_url": article.image_url,
        "section": article.section,
        "tags": list(article.tags),
        "source": article.source,
        "author": article.author,
        "language": article.language,
        "ai_generated": article.ai_generated.value,
        "human_reviewed": article.human_reviewed,
        "sponsored": article.sponsored,
        "retracted": article.retracted,
        **times,
        **vector,
    }


def _batches(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
