"""The slots of a slate come back whole from JSON, and what repeats is written once."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import orjson
import pytest
from slates import make_slots

from feed.domain import Reason, ReasonCode, ServedFeed, Slots
from feed.storage.event_codec import decode_slate, encode_slate
from feed.storage.slate_codec import slots_from_json, slots_to_json

NEW = Reason(code=ReasonCode.NEW, text="New")
BECAUSE = Reason(
    code=ReasonCode.BECAUSE_YOU_READ,
    text="Because you read “{title}”",
    article_id="a9",
    section="sport",
    source="desk",
    readers=7,
    window_minutes=30,
)


@pytest.fixture
def slots() -> Slots:
    return make_slots(
        ["a0", "a1", "a2", "a3"],
        reasons=[(NEW,), (BECAUSE, NEW), (NEW,), (BECAUSE, NEW)],
        sources=[("fresh",), ("fresh",), ("trending", "fresh"), ("trending", "fresh")],
        trending=[True, False, False, False],
        explored=[False, True, False, False],
        pinned=[False, False, True, False],
        propensities=[1.0, 0.25, 1.0, 1.0],
    )


def test_some_slots_are_picked_in_the_order_asked_for(slots: Slots) -> None:
    picked = slots.pick([2, 0])
    assert (picked.article_ids, picked.positions) == (["a2", "a0"], [2, 0])
    assert (picked.pinned, picked.trending) == ([True, False], [False, True])
    assert len(slots.pick([])) == 0


def test_the_slots_of_two_slates_follow_each_other(slots: Slots) -> None:
    both = slots.pick([0, 1]).followed_by(slots.pick([2, 3]))
    assert both == slots


def test_slots_come_back_whole_from_json(slots: Slots) -> None:
    for given in (slots, make_slots([])):
        columns = orjson.loads(orjson.dumps(slots_to_json(given)))
        assert slots_from_json(columns) == given


def test_what_repeats_is_written_once(slots: Slots) -> None:
    many = orjson.dumps(slots_to_json(slots.pick([0, 1, 2, 3] * 50)))
    assert many.count(b"Because you read") <= 2
    assert many.count(b'"trending"') == 1


def test_a_kept_slate_is_the_one_that_was_served(
    store: object, make_served: Callable[..., ServedFeed], slots: Slots
) -> None:
    served = make_served(slots=slots, shown_to=4)
    store.begin_save(served, new_slate=True)()  # type: ignore[attr-defined]
    kept = store.read_for_page("reader", served.request_id)[0]  # type: ignore[attr-defined]
    assert kept == served


def test_a_whole_slate_is_kept_compressed(
    slots: Slots, make_served: Callable[..., ServedFeed]
) -> None:
    served = make_served(slots=slots.pick([0, 1, 2, 3] * 30))
    kept = encode_slate(served)
    assert decode_slate(kept) == served
    assert decode_slate(zlib.decompress(kept)) == served  # as earlier versions kept it
    assert len(kept) < len(orjson.dumps(slots_to_json(served.slots))) / 3
