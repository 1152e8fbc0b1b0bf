"""A Python client of the HTTP API."""

from __future__ import annotations

import ssl
import time
from collections.abc import Collection, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import orjson

from feed.custom_data import check_event
from feed.domain import (
    Article,
    Event,
    FeedError,
    InvalidInputError,
    Submission,
    format_time,
)

MAX_EVENTS = 500
MAX_ARTICLES = 500
"""Articles of a source that are sent at once: their texts are encoded after the answer."""
ENCODED_ARTICLES = 100
"""Articles without a source that are sent at once: their texts are encoded before the answer."""
MAX_BODY_BYTES = 1_000_000
"""Articles that are sent at once have at most this size together, unless one alone is larger."""

REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
TEMPORARY_STATUSES = frozenset({502, 503, 504})
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0

_OPTIONAL = ("retracted", "updated_at", "expires_at", "embedding")

T = TypeVar("T")


class ApiError(FeedError):
    """The service answered with a problem.

    Attributes:
        status: the HTTP status.
        retry_after_s: how long the service asks to wait, in seconds; None if it does not say.
    """

    def __init__(self, status: int, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.retry_after_s = retry_after_s


class FeedClient:
    """Calls one feed service. One client may be used by many threads at the same time.

    A request is sent again, after a pause that doubles, when no connection could be made, and
    also when the connection breaks or the service is briefly unavailable (502, 503, 504) if
    sending it twice changes nothing. Events and articles carry ids, so that holds for them.

        with FeedClient("http://127.0.0.1:8000") as client:
            page = client.feed("reader-1", limit=20)

    Args:
        base_url: such as `http://127.0.0.1:8000`.
        api_key: sent as a bearer token when given.
        timeout_s: seconds to wait for a connection, and then for each part of the answer.
        retries: how often a request is sent again.

    Raises:
        InvalidInputError: `base_url` is not an http(s) address, or `api_key` can be no key.
    """

    def __init__(
        self, base_url: str, api_key: str = "", timeout_s: float = 30.0, retries: int = 3
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise InvalidInputError("base_url", "must begin with http:// or https://")
        key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # The certificates that the system trusts, because a newsroom may have an authority of its
        # own. No proxy of the environment, because the service is usually near.
        try:
            self._http = httpx.Client(
                base_url=base_url,
                headers={"Content-Type": "application/json", **key},
                timeout=timeout_s,
                verify=ssl.create_default_context(),
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise InvalidInputError("base_url", f"must be an address: {error}") from None
        except UnicodeEncodeError:
            raise InvalidInputError("api_key", "must be of ASCII characters") from None
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def feed(self, user_id: str, **parameters: Any) -> dict[str, Any]:
        """Return a page of a reader's feed; `parameters` are the query's (limit, cursor ...)."""
        return self.call("GET", "/v1/feed", query={"user_id": user_id, **parameters})

    def trending(self, **parameters: Any) -> dict[str, Any]:
        """Return what is trending and the numbers behind it."""
        return self.call("GET", "/v1/trending", query=parameters)

    def follow(
        self, user_id: str, sections: Sequence[str] = (), sources: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Let a reader follow sections and sources, beside those they follow; none stays muted.

        Returns:
            The reader's preferences after that.

        Raises:
            ApiError: the service refused it.
            ConnectionError: the service could not be reached.
        """
        path = f"/v1/users/{quote(user_id, safe='')}/preferences"
        preferences = self.call("GET", path)
        del preferences["user_id"]
        for kind, names in (("sections", sections), ("sources", sources)):
            followed, muted = preferences[f"followed_{kind}"], preferences[f"muted_{kind}"]
            preferences[f"followed_{kind}"] = [*dict.fromkeys([*followed, *names])]
            preferences[f"muted_{kind}"] = [name for name in muted if name not in names]
        return self.call("PUT", path, body=preferences)

    def send_events(self, events: Iterable[Event]) -> dict[str, int]:
        """Send events in batches; return how many had which outcome.

        An event that is `waiting` is kept until its article comes.

        Raises:
            InvalidInputError: the fields of an event do not suit its kind.
            ApiError: the service refused a batch; the batches before it are kept.
            ConnectionError: the service could not be reached.
        """
        counts = {"accepted": 0, "duplicate": 0, "waiting": 0, "rejected": 0}
        for batch in batches(list(events), MAX_EVENTS):
            body = {"events": [event_to_json(event) for event in batch]}
            answer = self.call("POST", "/v1/events", body=body, repeatable=True)
            for name in counts:
                counts[name] += int(answer.get(name, 0))
        return counts

    def send_articles(
        self, articles: Sequence[Article | Submission], origin: str = ""
    ) -> list[dict[str, Any]]:
        """Insert or replace articles; return the result of each.

        Args:
            articles: what to send; of a submission only the given fields.
            origin: the source from which they were read, such as a feed's address. A source does
                not change what was set without an origin.

        Raises:
            ApiError: the service refused a batch; the batches before it are kept.
            ConnectionError: the service could not be reached.
        """
        results: list[dict[str, Any]] = []
        most = MAX_ARTICLES if origin else ENCODED_ARTICLES
        for batch in _small_batches([_to_json(one) for one in articles], most):
            body = {"articles": batch, "origin": origin}
            results += self.call("POST", "/v1/articles", body=body, repeatable=True)["results"]
        return results

    def call(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Any = None,
        *,
        repeatable: bool | None = None,
    ) -> dict[str, Any]:
        """Send one request and return the JSON object that the service answers.

        Args:
            method: the HTTP method.
            path: such as `/v1/feed`.
            query: parameters of the query; those that are None are left out.
            body: what to send as JSON.
            repeatable: whether sending the request twice changes nothing more than sending it
                once; None decides by the method.

        Raises:
            ApiError: the service answered with a problem.
            ConnectionError: the service could not be reached.
        """
        request = self._http.build_request(
            method,
            path,
            params={name: value for name, value in (query or {}).items() if value is not None},
            content=None if body is None else orjson.dumps(body),
        )
        if repeatable is None:
            repeatable = method in REPEATABLE_METHODS
        for attempt in range(self._retries):
            pause_s = FIRST_PAUSE_S * 2**attempt
            try:
                return self._send(request)
            except ApiError as problem:
                if not (repeatable and problem.status in TEMPORARY_STATUSES):
                    raise
                pause_s = problem.retry_after_s or pause_s
            except ConnectionError as error:
                if not (repeatable or isinstance(error.__cause__, NOT_SENT)):
                    raise
            time.sleep(min(MAX_PAUSE_S, pause_s))
        return self._send(request)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _send(self, request: httpx.Request) -> dict[str, Any]:
        try:
            return _read_answer(self._http.send(request))
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            message = f"{request.method} {request.url.path} ({self._http.base_url}): {reason}"
            raise ConnectionError(message) from error


def _read_answer(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        ApiError: the status says that there is a problem, or the answer is not a JSON object.
    """
    try:
        document = orjson.loads(answer.content or b"{}")
    except orjson.JSONDecodeError:
        document = None
    if answer.is_success and isinstance(document, dict):
        return document
    detail = "the answer is not a JSON object" if answer.is_success else answer.reason_phrase
    if isinstance(document, dict):
        detail = document.get("detail") or document.get("title") or detail
    raise ApiError(answer.status_code, str(detail), _seconds(answer.headers.get("Retry-After")))


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:  # a date, which our service never sends but a proxy may
        return None


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event as the API takes it.

    Raises:
        InvalidInputError: its fields do not suit its kind.
    """
    check_event(event)
    optional = {
        "article_id": event.article_id or None,
        "name": event.name or None,
        "value": event.value,
        "dwell_s": event.dwell_s,
        "request_id": event.request_id,
        "position": event.position,
        "context": event.context or None,
    }
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "kind": event.kind.value,
        "occurred_at": format_time(event.occurred_at),
        **{name: value for name, value in optional.items() if value is not None},
    }


def article_to_json(article: Article, given: Collection[str] | None = None) -> dict[str, Any]:
    """Return an article as the API takes it.

    Args:
        article: the article.
        given: the fields to send beside the title. None: all but times and vectors that are None
            and `retracted` if it is false, because an article that an editor retracted must not
            come back when the newsroom sends it again.
    """
    fields: dict[str, Any] = {
        "title": article.title,
        "standfirst": article.standfirst,
        "body": article.body,
        "url": article.url,
        "image_url": article.image_url,
        "section": article.section,
        "other_sections": list(article.other_sections),
        "tags": list(article.tags),
        "source": article.source,
        "author": article.author,
        "language": article.language,
        "ai_generated": article.ai_generated.value,
        "human_reviewed": article.human_reviewed,
        "sponsored": article.sponsored,
        "retracted": article.retracted,
        "published_at": format_time(article.published_at),
        "updated_at": _time_or_none(article.updated_at),
        "expires_at": _time_or_none(article.expires_at),
        "embedding": None if article.embedding is None else list(article.embedding),
    }
    if given is None:
        left_out = {name for name in _OPTIONAL if not fields[name]}
        given = fields.keys() - left_out
    sent = {name: value for name, value in fields.items() if name == "title" or name in given}
    return {"article_id": article.article_id, **sent}


def _time_or_none(epoch_s: float | None) -> str | None:
    return None if epoch_s is None else format_time(epoch_s)


def _small_batches(articles: Iterable[dict[str, Any]], most: int) -> Iterable[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for one in articles:
        length = len(orjson.dumps(one))
        if batch and (len(batch) == most or size + length > MAX_BODY_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += length
    if batch:
        yield batch


def _to_json(one: Article | Submission) -> dict[str, Any]:
    if isinstance(one, Article):
        return article_to_json(one)
    return article_to_json(one.article, one.given)


def batches(values: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """Return consecutive parts of at most `size` values."""
    return (values[start : start + size] for start in range(0, len(values), size))
