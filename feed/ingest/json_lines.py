"""Reads articles and events from JSON lines, with the rules of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from feed.article_schemas import ArticleIn
from feed.domain import FeedError, InvalidInputError
from feed.ingest.documents import Documents, Finding
from feed.ingest.json_text import mend_json
from feed.schemas import EventIn, build_event, rules_broken

ORIGIN = "JSON"
"""All files in the API's own form are one source: the newsroom itself."""

T = TypeVar("T")

_ARTICLE = TypeAdapter(ArticleIn)
_EVENT = TypeAdapter(EventIn)


class RecordError(FeedError):
    """One record is wrong; says which field, and why."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


def parse_json_lines(lines: Iterable[bytes], now: float) -> Documents:
    """Return the articles and events of JSON lines; wrong lines become faults.

    A line with `event_id` is an event, any other an article; both look as the API takes them.

    Args:
        lines: one JSON object each; empty lines are passed over.
        now: epoch seconds, for articles and events without a time.
    """
    documents = Documents(origin=ORIGIN)
    for number, line in enumerate(lines, start=1):
        text = mend_json(line)
        if text.strip():
            _add(documents, f"line {number}", text, now)
    documents.events.sort(key=lambda e: e.occurred_at)
    return documents


def parse_records(records: Sequence[Any], now: float) -> Documents:
    """Return the articles and events of a JSON array; the same rules as for JSON lines."""
    documents = Documents(origin=ORIGIN)
    for number, record in enumerate(records, start=1):
        _add(documents, f"record {number}", record, now)
    documents.events.sort(key=lambda e: e.occurred_at)
    return documents


def _add(documents: Documents, place: str, given: Any, now: float) -> None:
    """Add one record, which is the bytes of a line or what was parsed from a document."""
    try:
        record = _read_object(given)
        if "event_id" in record:
            documents.events.append(build_event(_check(_EVENT, record), now))
        else:
            article = _check(_ARTICLE, record)
            submission = article.to_submission(article.article_id)
            if "published_at" not in submission.given:
                undated = replace(submission.article, published_at=now)
                submission = replace(submission, article=undated)
            documents.submissions.append(submission)
    except RecordError as error:
        documents.faults.append(Finding(place, error.field, error.rule))
    except InvalidInputError as error:
        documents.faults.append(Finding(place, error.field_name, error.rule))


def _read_object(given: Any) -> dict[str, Any]:
    try:
        record = orjson.loads(given) if isinstance(given, bytes) else given
    except orjson.JSONDecodeError as error:
        raise RecordError("", f"is not JSON ({error})") from None
    if not isinstance(record, dict):
        raise RecordError("", "must be a JSON object")
    return record


def _check(rules: TypeAdapter[T], record: dict[str, Any]) -> T:
    try:
        return rules.validate_json(orjson.dumps(record))
    except TypeError:  # what is written in JSON may be nested less deeply than what is read
        raise RecordError("", "is nested too deeply") from None
    except ValidationError as error:
        raise RecordError(*rules_broken(error)[0]) from None
