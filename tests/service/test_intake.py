import math
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from feed.domain import Event, EventKind, format_time
from feed.service.intake import MAX_AGE_S, MAX_AHEAD_S, Rejection, read_events
from feed.service.problems import ProblemError

NOW = 1_790_000_000.0


def event(**fields: Any) -> dict[str, Any]:
    return {
        "event_id": "e1",
        "user_id": "u1",
        "article_id": "a1",
        "kind": "click",
        "occurred_at": format_time(NOW),
        **fields,
    }


def all_known(article_ids: Sequence[str]) -> list[bool]:
    return [True] * len(article_ids)


def read(*events: Any) -> list[Event | Rejection]:
    return read_events(orjson.dumps({"events": list(events)}), NOW, all_known)


def test_an_event_is_read_whole() -> None:
    (found,) = read(
        event(kind="read", dwell_s=12, request_id="r1", position=3, context={"device": "mobile"})
    )
    assert found == Event(
        event_id="e1",
        user_id="u1",
        article_id="a1",
        kind=EventKind.READ,
        occurred_at=NOW,
        received_at=NOW,
        dwell_s=12.0,
        request_id="r1",
        position=3,
        context={"device": "mobile"},
    )


def test_a_missing_time_is_the_time_of_receipt() -> None:
    given = event()
    del given["occurred_at"]
    (found,) = read(given)
    assert isinstance(found, Event)
    assert found.occurred_at == NOW


def test_a_time_without_an_offset_is_utc() -> None:
    (found,) = read(event(occurred_at=format_time(NOW).removesuffix("Z")))
    assert isinstance(found, Event)
    assert found.occurred_at == NOW


def test_one_bad_event_does_not_sink_the_others() -> None:
    good, bad, late = read(event(), event(kind="stare"), event(event_id="e3"))
    assert isinstance(good, Event)
    assert isinstance(late, Event)
    assert isinstance(bad, Rejection)
    assert bad.event_id == "e1"
    assert bad.detail.startswith("kind: ")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"user_id": "two words"}, "user_id"),
        ({"user_id": "x" * 129}, "user_id"),
        ({"user_id": "nul\0"}, "user_id"),
        ({"article_id": None}, "article_id"),
        ({"kind": "IMPRESSION"}, "kind"),
        ({"dwell_s": -1}, "dwell_s"),
        ({"dwell_s": 86_401}, "dwell_s"),
        ({"dwell_s": "long"}, "dwell_s"),
        ({"position": -1}, "position"),
        ({"position": 1.5}, "position"),
        ({"context": {"k" * 65: "v"}}, "context"),
        ({"context": {"k": "v" * 257}}, "context"),
        ({"context": {f"k{n}": "v" for n in range(17)}}, "context"),
        ({"context": {"k": 1}}, "context"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": NOW}, "occurred_at"),
        ({"occurred_at": format_time(NOW + MAX_AHEAD_S + 1)}, "occurred_at"),
        ({"occurred_at": format_time(NOW - MAX_AGE_S - 1)}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_broken_rule_is_named(fields: dict[str, Any], field: str) -> None:
    (found,) = read(event(**fields))
    assert isinstance(found, Rejection)
    assert found.detail.startswith(field)


def test_an_infinite_dwell_is_rejected() -> None:
    body = orjson.dumps({"events": [event(dwell_s=math.pi)]}).replace(
        b"3.141592653589793", b"1e999"
    )
    with pytest.raises(ProblemError) as caught:
        read_events(body, NOW, all_known)
    assert caught.value.status == 400


def test_something_that_is_no_event_is_rejected_without_an_id() -> None:
    found = read(event(), 7, None, [], "event")
    assert [isinstance(e, Rejection) for e in found] == [False, True, True, True, True]


def test_events_on_unknown_articles_are_rejected() -> None:
    body = orjson.dumps({"events": [event(), event(event_id="e2", article_id="nobody")]})
    known, unknown = read_events(body, NOW, lambda ids: [i == "a1" for i in ids])
    assert isinstance(known, Event)
    assert unknown == Rejection("e2", "article_id: is not the id of an article")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"events": []}', 422),
        (b'{"events": {}}', 422),
        (b'{"events": [], "more": 1}', 422),
        (orjson.dumps({"events": [event()] * 501}), 422),
        (b'{"events": ["\xff"]}', 400),
    ],
)
def test_a_malformed_envelope_is_refused_as_a_whole(body: bytes, status: int) -> None:
    with pytest.raises(ProblemError) as caught:
        read_events(body, NOW, all_known)
    assert caught.value.status == status
    assert caught.value.errors


def test_five_hundred_events_are_taken() -> None:
    assert len(read(*[event(event_id=f"e{n}") for n in range(500)])) == 500


def test_a_clock_that_is_ahead_is_set_back_for_all_its_events_alike() -> None:
    given = [
        event(event_id="e1", occurred_at=format_time(NOW + 10)),
        event(event_id="e2", occurred_at=format_time(NOW + 40)),
        event(event_id="e3", user_id="other", occurred_at=format_time(NOW - 5)),
    ]
    found = [e.occurred_at for e in read(*given) if isinstance(e, Event)]
    assert found == [NOW - 30, NOW, NOW - 5]
