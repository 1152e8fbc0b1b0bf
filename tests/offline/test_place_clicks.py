"""Clicks of an article against those that its places foretell, from a real archive."""

from __future__ import annotations

from dataclasses import replace

import pytest
from slates import make_slots

from feed.config import Settings
from feed.domain import Event, EventKind, Mode, Rung, ServedFeed
from feed.offline.place_clicks import PlaceClicks
from feed.offline.place_clicks_reading import count_place_clicks
from feed.storage.archive import Archive
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker

NOW = 1_790_000_000.0


def test_clicks_are_compared_with_those_of_others_at_the_same_places(
    store: RedisStore, store_settings: Settings
) -> None:
    for n in range(20):
        ids = ["a", "b", "c"] if n % 2 else ["b", "a", "c"]
        store.save_served(served(f"r{n}", f"u{n}", ids), new_slate=True)
        store.append_events([click(n, ids[0])])
        if n % 4 == 0:
            store.append_events([click(n, "a", "again"), click(n, "a", "twice")])
    worker = Worker(store, replace(store_settings, archive_events=1))
    for minute in range(1, 20):
        worker.tick(NOW + 60 * minute)
    archive = Archive(store_settings.data_dir / "archive")
    every = count_place_clicks(archive, NOW - 60)
    found = every["a"]
    # At place 0 everybody clicks; at place 1, a of 10 feeds is clicked in 5, b of 10 in none.
    assert (found.served, found.clicked) == (20, 15)
    assert found.expected == pytest.approx(10 * 1.0 + 10 * 5 / 20)
    assert every["c"].expected == 0.0
    assert count_place_clicks(archive, NOW + 60) == {}


def test_the_interval_is_that_of_a_poisson_count() -> None:
    found = PlaceClicks(served=100, clicked=10, expected=5.0)
    assert found.ratio == 2.0
    low, high = found.interval
    assert (low, high) == pytest.approx((4.795 / 5, 18.390 / 5), abs=1e-3)  # Garwood's table
    assert PlaceClicks(served=9, clicked=0, expected=5.0).interval[0] == 0.0
    assert not PlaceClicks(served=9, clicked=9, expected=4.9).is_enough


def served(request_id: str, user_id: str, ids: list[str]) -> ServedFeed:
    return ServedFeed(
        request_id=request_id,
        user_id=user_id,
        served_at=NOW,
        mode=Mode.PERSONALIZED,
        rung=Rung.PERSONALIZED,
        personalized=False,
        model_version="m",
        experiments={},
        slots=make_slots(ids),
        shown_from=0,
        shown_to=len(ids),
    )


def click(number: int, article_id: str, name: str = "click") -> Event:
    return Event(
        event_id=f"{name}-{number}",
        user_id=f"u{number}",
        article_id=article_id,
        kind=EventKind.CLICK,
        occurred_at=NOW + 1,
        received_at=NOW + 1,
        request_id=f"r{number}",
    )
