"""A web process and the worker add what they know to the pulse, and nothing waits for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from feed.config import Settings
from feed.domain import Mode, Rung, StoreUnavailableError
from feed.service.pulse import RequestCounts
from feed.service.telemetry import Stopwatch, count_feed
from feed.storage.embedded import EmbeddedStore
from feed.storage.pulse_series import (
    COUNTED,
    ERRORS,
    EVENTS,
    FALLEN,
    FINE_S,
    LATENCIES,
    MINUTE_S,
    REFUSED,
    REQUESTS,
    PulseSeries,
)
from feed.storage.pulse_writer import slot_of
from feed.storage.redis_store import RedisStore
from feed.worker.vital_signs import VitalSigns

NOW = 1_780_000_020.0


def click(site: Any, article_id: str) -> dict[str, Any]:
    return {
        "event_id": f"e-{article_id}",
        "user_id": "reader",
        "article_id": article_id,
        "kind": "click",
    }


def last_slot(site: Any) -> PulseSeries:
    found: PulseSeries = site.store.read_pulse(slot_of(site.clock.now), 1, FINE_S)
    return found


def test_feeds_events_and_refusals_are_in_the_pulse_by_kind(site: Any) -> None:
    site.publish(5)
    site.feed()
    site.feed(mode="latest")
    page = site.feed(limit=2)
    site.feed(limit=2, cursor=page["next_cursor"])
    site.send(click(site, "a0"), click(site, "a1"), click(site, "unknown"))
    site.client.get("/v1/feed")  # a user_id is missing: the caller's fault, and no feed
    site.services.pulse.write()
    found = last_slot(site)
    assert found.total(REQUESTS) == 7
    assert found.total("rung_without_model") == 3
    assert found.total("rung_latest") == 1
    assert found.total(*LATENCIES) == 4
    assert found.total(EVENTS) == 3
    assert found.total(ERRORS, REFUSED) == 0


def test_a_second_write_adds_only_what_is_new(site: Any) -> None:
    site.publish(1)
    site.services.pulse.write()
    site.feed()
    site.services.pulse.write()
    site.services.pulse.write()
    assert last_slot(site).total(REQUESTS) == 2
    minute = site.store.read_pulse(slot_of(site.clock.now, MINUTE_S), 1, MINUTE_S)
    assert minute.total(REQUESTS) == 2


@pytest.mark.parametrize(
    ("status", "name"), [(503, REFUSED), (429, REFUSED), (500, ERRORS), (507, ERRORS)]
)
def test_what_was_not_answered_well_is_told_apart(status: int, name: str) -> None:
    counts = RequestCounts()
    counts.add_request(status, Stopwatch())
    assert counts.take() == {REQUESTS: 1, name: 1}
    assert counts.take() == {}


@pytest.mark.parametrize(
    ("mode", "rung", "fell"),
    [
        (Mode.PERSONALIZED, Rung.WITHOUT_MODEL, 0),
        (Mode.PERSONALIZED, Rung.TRENDING, 1),
        (Mode.TRENDING, Rung.TRENDING, 0),
        (Mode.LATEST, Rung.SNAPSHOT, 1),
    ],
)
def test_a_feed_below_what_was_asked_for_is_counted(mode: Mode, rung: Rung, fell: int) -> None:
    counts, watch = RequestCounts(), Stopwatch()
    count_feed(mode, rung, watch)
    counts.add_request(200, watch)
    found = counts.take()
    assert found.get(FALLEN, 0) == fell
    assert found[f"rung_{rung.value}"] == 1


def test_a_process_says_how_old_its_snapshot_is(site: Any) -> None:
    site.clock.now += 7.0
    site.services.pulse.write()
    assert last_slot(site).latest("snapshot_age_s") == 7.0


def test_the_worker_says_how_far_behind_it_is(site: Any) -> None:
    site.publish(2)
    site.worker.tick(site.clock.now)
    site.send(click(site, "a0"))
    newest_ms = max(int(end.split("-")[0]) for end in site.store.stream_ends().values())
    site.clock.now = newest_ms / 1000 + 42.0
    site.worker.add_pulse(site.clock.now)
    before = last_slot(site)
    assert before.latest("counting_lag_s") == pytest.approx(42.0, abs=0.01)
    assert before.latest("archive_lag_s") == pytest.approx(42.0, abs=0.01)
    assert before.latest("stream_records") == 1
    assert before.latest("archive_fails") == 0
    assert 0 < before.latest("disk_used_share") < 1
    assert 0 < before.latest("store_bytes") < before.latest("store_limit_bytes")
    site.clock.now += 20
    site.worker.tick(site.clock.now)
    site.worker.add_pulse(site.clock.now)
    after = last_slot(site)
    assert after.latest("counting_lag_s") == 0
    assert after.latest("archive_lag_s") == 0
    assert after.total(COUNTED) == 1


def test_a_worker_that_stands_by_says_nothing(site: Any) -> None:
    site.store.acquire_lease("worker", "another", 60.0)
    site.worker.tick(site.clock.now)
    site.worker.add_pulse(site.clock.now)
    assert last_slot(site).latest("stream_records") is None


def test_a_store_that_may_forget_readers_is_named_in_the_log(
    store: RedisStore, tmp_path: Path
) -> None:
    signs = VitalSigns(store, tmp_path)
    known: dict[str, Any] = {"positions": {}, "archived": {}, "archive_fails": False}
    store._link.every_node("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with capture_logs() as lines:
            for at in (NOW, NOW + 5):
                signs.measure(at, counted=0, **known)
    finally:
        store._link.every_node("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert [(line["event"], line["maxmemory_policy"]) for line in lines] == [
        ("store_may_forget", ["allkeys-lru"])
    ]


def test_records_counted_while_the_store_was_away_are_told_later(
    store_settings: Settings, tmp_path: Path
) -> None:
    server = EmbeddedStore(tmp_path)
    store = RedisStore(replace(store_settings, redis_url=server.url))
    signs = VitalSigns(store, tmp_path)
    known: dict[str, Any] = {"positions": {}, "archived": {}, "archive_fails": False}
    with pytest.raises(StoreUnavailableError):
        signs.measure(NOW, counted=5, **known)
    server.start()
    try:
        signs.measure(NOW + 20, counted=7, **known)
        found = store.read_pulse(slot_of(NOW), 3, FINE_S)
        assert found.count(COUNTED).tolist() == [5, 0, 2]
        store.close()
    finally:
        server.stop()
