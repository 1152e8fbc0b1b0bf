"""Reads articles and events from JSON lines, with the rules of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from feed.domain import Article, Event, FeedError
from feed.service.schemas import ArticleIn, EventIn, build_event

T = TypeVar("T")

_ARTICLE = TypeAdapter(ArticleIn)
_EVENT = TypeAdapter(EventIn)


@dataclass(slots=True)
class Documents:
    """What a source holds: articles, events (oldest first) and the faults found in it."""

    articles: list[Article] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class LineError(FeedError):
    """One line is wrong; says where and why."""


def parse_json_lines(lines: Iterable[bytes], now: float) -> Documents:
    """Return the articles and events of JSON lines; wrong lines become faults.

    A line with `event_id` is an event, any other an article; both look as the API takes them.

    Args:
        lines: one JSON object each; empty lines are passed over.
        now: epoch seconds, for events without a time.
    """
    documents = Documents()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _read_object(line)
            if "event_id" in record:
                documents.events.append(build_event(_check(_EVENT, record), now))
            else:
                article = _check(_ARTICLE, record)
                documents.articles.append(article.to_article(article.article_id))
        except LineError as error:
            documents.faults.append(f"line {number}: {error}")
    documents.events.sort(key=lambda e: e.occurred_at)
    return documents


def _read_object(line: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LineError(f"is not JSON ({error})") from None
    if not isinstance(record, dict):
        raise LineError("must be a JSON object")
    return record


def _check(rules: TypeAdapter[T], record: dict[str, Any]) -> T:
    try:
        return rules.validate_json(orjson.dumps(record))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "line"
        raise LineError(f"{place}: {first['msg']}") from None
