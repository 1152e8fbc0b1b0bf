"""Parses batches of events: one fast pass if all are valid, else a reason for each fault."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from feed.domain import Event, InvalidInputError
from feed.schemas import (
    MAX_EVENTS,
    EventBatchIn,
    EventIn,
    Input,
    Moment,
    build_event,
    epoch_seconds,
    rules_broken,
)
from feed.service.problems import NO_JSON, ProblemError, unreadable_json
from feed.service.telemetry import RETIMED
from feed.storage.records import Outcome
from feed.storage.waiting_part import WAITING_HOURS

MAX_AHEAD_S = 300.0
MAX_AGE_S = 30 * 86_400.0
STEP_S = 0.002
"""Between two events of one reader that both get the time of arrival; the store keeps 1 ms."""
SAME_TIME_S = 5.0
"""Clocks that differ by less count as equal, because the request takes some time, too."""

_ONE = TypeAdapter(EventIn)
_SENT_AT: TypeAdapter[datetime | None] = TypeAdapter(Moment | None, config=Input.model_config)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one event of a batch was rejected."""

    event_id: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The events of a request body.

    Args:
        entries: in the order of the body, each valid or with its fault.
        notes: what was done about the time of an entry, by the place of the entry.
    """

    entries: list[Event | Rejection]
    notes: dict[int, str]


def read_events(body: bytes, now: float, reader: str | None = None) -> ReadEvents:
    """Read a batch of events.

    Times are corrected by the difference between the service's clock and the sender's, if the body
    says what the latter shows. A time that is still out of bounds becomes the time of arrival.

    Args:
        body: JSON, `{"events": [...]}`.
        now: epoch seconds; the default of `occurred_at`, and its upper bound.
        reader: the only reader whom the caller may speak for; None: anybody.

    Raises:
        ProblemError: the envelope is malformed (400, 422), so none of its events can be read, or
            an event belongs to a reader whom the caller may not speak for (403).
    """
    given: Sequence[EventIn | Rejection]
    try:
        batch = EventBatchIn.model_validate_json(body)
        given, sent_at = batch.events, batch.sent_at
    except ValidationError as error:
        if problem := unreadable_json(error):
            raise problem from None
        given, sent_at = _read_one_by_one(body)
    difference = now - epoch_seconds(sent_at) if sent_at else 0.0
    if abs(difference) < SAME_TIME_S:
        difference = 0.0
    named = given if reader is None else [_of_reader(e, reader) for e in given]
    found = [e if isinstance(e, Rejection) else _to_event(e, now, difference) for e in named]
    entries, notes = _into_bounds(found, now)
    arrived = {p for p in notes if isinstance(e := found[p], Event) and e.occurred_at > now}
    return ReadEvents(_set_back(entries, now, arrived), notes)


def describe_outcome(
    entry: Event | Rejection, outcome: Outcome | None, note: str
) -> dict[str, Any]:
    """Return the outcome of one entry, JSON-ready.

    Args:
        entry: the event, or why it was rejected.
        outcome: of an event that was given to the store.
        note: what was done about the event's time; empty: nothing.
    """
    if isinstance(entry, Rejection):
        return {"event_id": entry.event_id, "status": "rejected", "detail": entry.detail}
    if outcome is Outcome.UNKNOWN:
        detail = (
            "article_id: is not the id of an article, and too many events are waiting for theirs"
        )
        return {"event_id": entry.event_id, "status": "rejected", "detail": detail}
    described = {"event_id": entry.event_id, "status": str(outcome)}
    if outcome is Outcome.WAITING:
        rule = f"there is no such article yet; the event waits {WAITING_HOURS} hours for it"
        note = f"article_id: {rule}"
    return {**described, "detail": note} if note else described


def _read_one_by_one(body: bytes) -> tuple[list[EventIn | Rejection], datetime | None]:
    events, sent_at = _read_envelope(body)
    return [_read_one(item) for item in events], sent_at


def _read_envelope(body: bytes) -> tuple[list[Any], datetime | None]:
    try:
        envelope = from_json(body)
    except ValueError:
        raise ProblemError(400, NO_JSON, [("body", "must be a JSON object")]) from None
    if not isinstance(envelope, dict):
        raise ProblemError(422, "body must be a JSON object", [("body", "must be a JSON object")])
    extra = sorted(set(envelope) - {"events", "sent_at"})
    if extra:
        raise ProblemError(422, f"{extra[0]} is not known", [(extra[0], "is not a known field")])
    events = envelope.get("events")
    if not isinstance(events, list) or not 1 <= len(events) <= MAX_EVENTS:
        rule = f"must be a list of 1 to {MAX_EVENTS} events"
        raise ProblemError(422, f"events {rule}", [("events", rule)])
    try:
        sent_at = _SENT_AT.validate_json(json.dumps(envelope.get("sent_at")))
    except ValidationError:
        rule = "must be an ISO 8601 time"
        raise ProblemError(422, f"sent_at {rule}", [("sent_at", rule)]) from None
    return events, sent_at


def _read_one(item: Any) -> EventIn | Rejection:
    try:
        return _ONE.validate_json(json.dumps(item))  # orjson would write null for infinity
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


def _to_event(given: EventIn, now: float, difference: float) -> Event | Rejection:
    if "user_id" not in given:
        return Rejection(given["event_id"], "user_id: is needed unless a reader's token is sent")
    try:
        event = build_event(given, now)
    except InvalidInputError as error:
        return Rejection(given["event_id"], str(error))
    if difference and given.get("occurred_at") is not None:
        return replace(event, occurred_at=event.occurred_at + difference)
    return event


def _into_bounds(
    found: Sequence[Event | Rejection], now: float
) -> tuple[list[Event | Rejection], dict[int, str]]:
    """Give events from far ahead or long ago the time of arrival, so that none of them is lost.

    Those of one reader keep their order among each other: the last one counts at the time of
    arrival, each earlier one `STEP_S` before the next.
    """
    entries, notes = list(found), {}
    outside: dict[str, dict[int, Event]] = {}
    for place, event in enumerate(found):
        if (
            isinstance(event, Event)
            and not now - MAX_AGE_S <= event.occurred_at <= now + MAX_AHEAD_S
        ):
            ahead = event.occurred_at > now
            RETIMED.labels("ahead" if ahead else "behind").inc()
            what = "more than 5 minutes in the future" if ahead else "more than 30 days ago"
            notes[place] = f"occurred_at: is {what}; the time of arrival counts"
            outside.setdefault(event.user_id, {})[place] = event
    for events in outside.values():
        moments = sorted({event.occurred_at for event in events.values()}, reverse=True)
        for place, event in events.items():
            later = moments.index(event.occurred_at)
            entries[place] = replace(event, occurred_at=now - later * STEP_S)
    return entries, notes


def _set_back(
    found: Sequence[Event | Rejection], now: float, arrived: Collection[int]
) -> list[Event | Rejection]:
    """Set back the events of readers whose clocks are ahead, so that none lies in the future.

    All events of one reader are set back by the same span, which keeps their order and distances.
    The next request counts only what happened before it, so it would miss events in the future.

    Args:
        found: the events.
        now: epoch seconds.
        arrived: places of those from so far ahead that they count at the time of arrival; the
            other events of their readers stay before them.
    """
    latest: dict[str, float] = {}
    for place in arrived:
        event = found[place]
        if isinstance(event, Event):
            earlier = event.occurred_at - STEP_S
            latest[event.user_id] = min(latest.get(event.user_id, now), earlier)
    ahead: dict[str, float] = {}
    for event in found:
        if isinstance(event, Event) and event.occurred_at > now:
            by = event.occurred_at - latest.get(event.user_id, now)
            ahead[event.user_id] = max(ahead.get(event.user_id, 0.0), by)
    if not ahead:
        return list(found)
    return [
        replace(e, occurred_at=min(e.occurred_at - ahead[e.user_id], latest.get(e.user_id, now)))
        if isinstance(e, Event) and e.user_id in ahead and place not in arrived
        else e
        for place, e in enumerate(found)
    ]
