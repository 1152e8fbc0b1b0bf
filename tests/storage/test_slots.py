"""Slots, column by column, are the slots one by one, and come back whole from JSON."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from feed.domain import FeedItem, Reason, ReasonCode, ServedFeed
from feed.storage.slots import Slots


@pytest.fixture
def items() -> list[FeedItem]:
    because = Reason(
        code=ReasonCode.BECAUSE_YOU_READ,
        text="Because you read “{title}”",
        article_id="a9",
        section="sport",
        source="desk",
        readers=7,
        window_minutes=30,
    )
    new = Reason(code=ReasonCode.NEW, text="New")
    return [
        FeedItem(
            article_id=f"a{n}",
            position=n,
            score=1.0 / (n + 1),
            reasons=(because, new) if n % 2 else (new,),
            sources=("fresh",) if n < 2 else ("trending", "fresh"),
            trending=n == 0,
            explored=n == 1,
            pinned=n == 2,
            propensity=0.25 if n == 1 else 1.0,
        )
        for n in range(4)
    ]


def test_columns_are_the_slots_one_by_one(items: list[FeedItem]) -> None:
    slots = Slots.of(items)
    assert [*slots] == items
    assert (len(slots), slots[-1], slots[1:3]) == (4, items[3], tuple(items[1:3]))
    assert slots == items
    assert slots != items[:3]
    assert slots != 4
    assert Slots.of(slots) is slots


def test_some_slots_are_picked_in_the_order_asked_for(items: list[FeedItem]) -> None:
    assert [*Slots.of(items).pick([2, 0])] == [items[2], items[0]]
    assert len(Slots.of(items).pick([])) == 0


def test_slots_come_back_whole_from_json(items: list[FeedItem]) -> None:
    for given in (items, []):
        columns = orjson.loads(orjson.dumps(Slots.of(given).to_json()))
        assert [*Slots.from_json(columns)] == given


def test_what_repeats_is_written_once(items: list[FeedItem]) -> None:
    many = orjson.dumps(Slots.of(items * 50).to_json())
    assert many.count(b"Because you read") <= 2
    assert many.count(b'"trending"') == 1


def test_a_kept_slate_is_the_one_that_was_served(
    store: object, make_served: Callable[..., ServedFeed], items: list[FeedItem]
) -> None:
    served = make_served(items=items, shown_to=4)
    store.begin_save(served, new_slate=True)()  # type: ignore[attr-defined]
    kept = store.read_for_page("reader", served.request_id)[0]  # type: ignore[attr-defined]
    assert kept == served
