"""Parses batches of events: one fast pass if all are valid, else a reason for each fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from feed.domain import Event
from feed.schemas import MAX_EVENTS, EventBatchIn, EventIn, build_event
from feed.service.problems import ProblemError, rules_broken
from feed.storage.records import Outcome

MAX_AHEAD_S = 300.0
MAX_AGE_S = 30 * 86_400.0

_ONE = TypeAdapter(EventIn)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one event of a batch was rejected."""

    event_id: str | None
    detail: str


def read_events(
    body: bytes,
    now: float,
    is_known: Callable[[Sequence[str]], list[bool]],
    reader: str | None = None,
) -> list[Event | Rejection]:
    """Return the events of a request body, in its order, each valid or with its fault.

    Args:
        body: JSON, `{"events": [...]}`.
        now: epoch seconds; the default of `occurred_at`, and its upper bound.
        is_known: says of article ids whether there is such an article.
        reader: the only reader whom the caller may speak for; None: anybody.

    Raises:
        ProblemError: the envelope is malformed (400, 422), so none of its events can be read, or
            an event belongs to a reader whom the caller may not speak for (403).
    """
    try:
        given: Sequence[EventIn | Rejection] = EventBatchIn.model_validate_json(body).events
    except ValidationError:
        given = _read_one_by_one(body)
    named = given if reader is None else [_of_reader(e, reader) for e in given]
    found = [e if isinstance(e, Rejection) else _to_event(e, now) for e in named]
    return _reject_unknown(_set_back(found, now), is_known)


def describe_outcome(entry: Event | Rejection, outcomes: Iterator[Outcome]) -> dict[str, Any]:
    """Return the outcome of one event, JSON-ready; one that was stored takes the next outcome."""
    if isinstance(entry, Rejection):
        return {"event_id": entry.event_id, "status": "rejected", "detail": entry.detail}
    return {"event_id": entry.event_id, "status": next(outcomes).value}


def _read_one_by_one(body: bytes) -> list[EventIn | Rejection]:
    return [_read_one(item) for item in _read_envelope(body)]


def _read_envelope(body: bytes) -> list[Any]:
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ProblemError(
            400, "the body is not JSON", [("body", "must be a JSON object")]
        ) from None
    if not isinstance(envelope, dict):
        raise ProblemError(422, "body must be a JSON object", [("body", "must be a JSON object")])
    extra = sorted(set(envelope) - {"events"})
    if extra:
        raise ProblemError(422, f"{extra[0]} is not known", [(extra[0], "is not a known field")])
    events = envelope.get("events")
    if not isinstance(events, list) or not 1 <= len(events) <= MAX_EVENTS:
        rule = f"must be a list of 1 to {MAX_EVENTS} events"
        raise ProblemError(422, f"events {rule}", [("events", rule)])
    return events


def _read_one(item: Any) -> EventIn | Rejection:
    try:
        return _ONE.validate_json(orjson.dumps(item))
    except ValidationError as error:
        event_id = item.get("event_id") if isinstance(item, dict) else None
        detail = "; ".join(f"{field}: {rule}" for field, rule in rules_broken(error))
        return Rejection(event_id if isinstance(event_id, str) else None, detail)


def _of_reader(given: EventIn | Rejection, reader: str) -> EventIn | Rejection:
    if isinstance(given, Rejection):
        return given
    if given.get("user_id", reader) != reader:
        raise ProblemError(
            403,
            "the token speaks for another reader",
            [("events.user_id", "must be the reader whom the token speaks for, or be left out")],
        )
    return {**given, "user_id": reader}


def _to_event(given: EventIn, now: float) -> Event | Rejection:
    if "user_id" not in given:
        return Rejection(given["event_id"], "user_id: is needed unless a reader's token is sent")
    event = build_event(given, now)
    if event.occurred_at > now + MAX_AHEAD_S:
        return Rejection(event.event_id, "occurred_at: is more than 5 minutes in the future")
    if event.occurred_at < now - MAX_AGE_S:
        return Rejection(event.event_id, "occurred_at: is more than 30 days ago")
    return event


def _set_back(found: Sequence[Event | Rejection], now: float) -> list[Event | Rejection]:
    """Set back the events of readers whose clocks are ahead, so that none lies in the future.

    All events of one reader are set back by the same span, which keeps their order and distances.
    The next request counts only what happened before it, so it would miss events in the future.
    """
    ahead: dict[str, float] = {}
    for event in found:
        if isinstance(event, Event) and event.occurred_at > now:
            ahead[event.user_id] = max(ahead.get(event.user_id, 0.0), event.occurred_at - now)
    if not ahead:
        return list(found)
    return [
        replace(e, occurred_at=min(e.occurred_at - ahead[e.user_id], now))
        if isinstance(e, Event) and e.user_id in ahead
        else e
        for e in found
    ]


def _reject_unknown(
    found: Sequence[Event | Rejection], is_known: Callable[[Sequence[str]], list[bool]]
) -> list[Event | Rejection]:
    events = [e for e in found if isinstance(e, Event)]
    article_ids = list({e.article_id for e in events})
    known = dict(zip(article_ids, is_known(article_ids), strict=True)) if article_ids else {}
    return [
        e
        if isinstance(e, Rejection) or known[e.article_id]
        else Rejection(e.event_id, "article_id: is not the id of an article")
        for e in found
    ]
