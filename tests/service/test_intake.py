import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from feed.domain import Event, EventKind, format_time
from feed.service.intake import (
    MAX_AGE_S,
    MAX_AHEAD_S,
    SAME_TIME_S,
    Rejection,
    read_events,
)
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


def read(*events: Any, **envelope: Any) -> list[Event | Rejection]:
    return read_events(orjson.dumps({"events": list(events), **envelope}), NOW).entries


def moments(entries: Sequence[Event | Rejection]) -> list[float]:
    return [entry.occurred_at for entry in entries if isinstance(entry, Event)]


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


@pytest.mark.parametrize("nothing", [{}, {"article_id": None, "value": None}])
def test_a_custom_event_is_read_whole(nothing: dict[str, None]) -> None:
    given = event(kind="custom", name="paid", value=12)
    del given["article_id"]
    with_value, without = read(given, {**given, "value": None, **nothing})
    expected = Event(
        event_id="e1",
        user_id="u1",
        article_id="",
        kind=EventKind.CUSTOM,
        occurred_at=NOW,
        received_at=NOW,
        name="paid",
        value=12.0,
    )
    assert with_value == expected
    assert without == replace(expected, value=None)


def test_only_a_custom_event_may_do_without_an_article() -> None:
    given = event(event_id="e2")
    del given["article_id"]
    good, bad = read(event(), given)
    assert isinstance(good, Event)
    rule = "article_id: must be given, except for kind custom"
    assert bad == Rejection("e2", rule)


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
        ({"occurred_at": "2026-02-30T00:00:00Z"}, "occurred_at"),
        ({"colour": "red"}, "colour"),
        ({"name": "subscribed"}, "name"),
        ({"value": 1}, "value"),
        ({"kind": "custom"}, "name"),
        ({"kind": "custom", "name": ""}, "name"),
        ({"kind": "custom", "name": "x" * 65}, "name"),
        ({"kind": "custom", "name": "_x"}, "name"),
        ({"kind": "custom", "name": "Paid"}, "name"),
        ({"kind": "custom", "name": "paid\n"}, "name"),
        ({"kind": "custom", "name": "paid", "value": "9"}, "value"),
        ({"kind": "custom", "name": "paid", "value": True}, "value"),
        ({"kind": "custom", "name": "paid", "value": 1e13}, "value"),
        ({"kind": "custom", "name": "paid", "article_id": "two words"}, "article_id"),
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
    (found,) = read_events(body, NOW).entries
    assert isinstance(found, Rejection)
    assert found.detail == "dwell_s: should be less than or equal to 86400"


def test_something_that_is_no_event_is_rejected_without_an_id() -> None:
    found = read(event(), 7, None, [], "event")
    assert [isinstance(e, Rejection) for e in found] == [False, True, True, True, True]


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
        (b'{"events": [7], "sent_at": "soon"}', 422),
        (b'{"events": [7], "sent_at": 1790000000}', 422),
        (orjson.dumps({"events": [event()] * 501}), 422),
        (b'{"events": ["\xff"]}', 400),
    ],
)
def test_a_malformed_envelope_is_refused_as_a_whole(body: bytes, status: int) -> None:
    with pytest.raises(ProblemError) as caught:
        read_events(body, NOW)
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
    assert moments(read(*given)) == [NOW - 30, NOW, NOW - 5]


@pytest.mark.parametrize("ahead_s", [7200.0, -7200.0, 100.0 - NOW, 40 * 86_400.0])
def test_the_clock_of_the_sender_is_corrected_by_its_difference(ahead_s: float) -> None:
    clock = NOW + ahead_s
    given = [
        event(event_id="e1", occurred_at=format_time(clock - 60)),
        event(event_id="e2", occurred_at=format_time(clock)),
    ]
    assert moments(read(*given, sent_at=format_time(clock))) == [NOW - 60, NOW]
    mixed = read(*given, 7, sent_at=format_time(clock))
    assert moments(mixed) == [NOW - 60, NOW]


def test_an_event_without_a_time_is_not_corrected() -> None:
    given = event()
    del given["occurred_at"]
    assert moments(read(given, sent_at=format_time(NOW - 3600))) == [NOW]


def test_the_way_of_a_request_is_not_taken_for_a_wrong_clock() -> None:
    given = event(occurred_at=format_time(NOW - 3))
    assert moments(read(given, sent_at=format_time(NOW - SAME_TIME_S + 0.5))) == [NOW - 3]


@pytest.mark.parametrize(
    ("moment", "word"),
    [
        (format_time(NOW + MAX_AHEAD_S + 1), "in the future"),
        (format_time(NOW - MAX_AGE_S - 1), "ago"),
        ("1970-01-01T00:00:00Z", "ago"),
        ("9999-12-31T23:59:59Z", "in the future"),
        ("0001-01-01T00:00:00+14:00", "ago"),
    ],
)
def test_a_time_out_of_bounds_becomes_the_time_of_arrival(moment: str, word: str) -> None:
    given = [event(event_id="e1"), event(event_id="e2", occurred_at=moment)]
    found = read_events(orjson.dumps({"events": given}), NOW)
    assert moments(found.entries) == [NOW, NOW]
    assert list(found.notes) == [1]
    assert word in found.notes[1]


def test_events_that_get_the_time_of_arrival_keep_their_order() -> None:
    """A clock that is far ahead: what happened last still counts last."""
    ahead = (800, 700, 290, -60)
    given = [event(event_id=f"e{n}", occurred_at=format_time(NOW + s)) for n, s in enumerate(ahead)]
    given.append(event(event_id="o", user_id="other", occurred_at=format_time(NOW + 500)))
    *own, other = moments(read(*given))
    assert sorted(own, reverse=True) == own
    assert len(set(own)) == len(own)
    assert other == own[0] == NOW
    assert NOW - own[1] < 0.01


def test_a_time_within_the_bounds_is_kept() -> None:
    oldest, newest = NOW - MAX_AGE_S, NOW - 1
    given = [
        event(event_id=f"e{n}", occurred_at=format_time(at))
        for n, at in enumerate([oldest, newest])
    ]
    assert moments(read(*given)) == [oldest, newest]
