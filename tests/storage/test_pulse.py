"""The pulse in the store: slots that every process adds to, and that expire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feed.domain import StoreUnavailableError
from feed.storage.embedded import EmbeddedStore
from feed.storage.pulse_series import (
    COUNTS,
    EVENTS,
    FASTEST_MS,
    FINE_S,
    GAUGES,
    LATENCIES,
    LATENCY_BUCKETS,
    MINUTE_S,
    REQUESTS,
    empty_series,
    fill_slot,
    latency_bucket,
)
from feed.storage.pulse_writer import SLOTS_KEPT, PulseWriter, slot_of
from feed.storage.redis_store import RedisStore

NOW = 1_780_000_020.0
"""The beginning of a minute."""


def test_what_two_processes_add_is_added_up_in_slots_and_in_minutes(store):
    for amount, age in ((2, 3.0), (5, 1.0)):
        writer = PulseWriter(store)
        writer.add(NOW + 11, {REQUESTS: amount}, {"snapshot_age_s": age})
        writer.add(NOW + 25, {REQUESTS: 1}, {})
        writer.flush()
    fine = store.read_pulse(int(NOW), 6, FINE_S)
    assert fine.count(REQUESTS).tolist() == [0, 7, 2, 0, 0, 0]
    assert fine.gauge("snapshot_age_s")[1] == 3.0
    assert np.isnan(fine.gauge("snapshot_age_s")[[0, 2]]).all()
    assert fine.rate(REQUESTS) == pytest.approx(9 / 60)
    minutes = store.read_pulse(int(NOW) - MINUTE_S, 2, MINUTE_S)
    assert minutes.count(REQUESTS).tolist() == [0, 9]
    assert minutes.latest("snapshot_age_s") == 3.0


def test_every_name_fits_one_slot_and_comes_back(store):
    counts = {name: n + 1 for n, name in enumerate(COUNTS)}
    gauges = {name: n + 0.5 for n, name in enumerate(GAUGES)}
    store.add_pulse(int(NOW), counts, gauges)
    series = store.read_pulse(int(NOW), 1, FINE_S)
    assert series.counts[0].tolist() == list(counts.values())
    assert series.gauges[0].tolist() == list(gauges.values())


def test_more_slots_than_one_round_trip_holds_are_read_in_order(store):
    for n in range(0, 250, 7):
        store.add_pulse(int(NOW) + n * MINUTE_S, {EVENTS: n + 1}, {})
    found = store.read_pulse(int(NOW), 250, MINUTE_S).count(EVENTS)
    assert found.tolist() == [n + 1 if n % 7 == 0 else 0 for n in range(250)]


def test_counts_wait_for_a_store_that_is_away_and_are_written_once(store_settings, tmp_path):
    server = EmbeddedStore(tmp_path)
    try:
        late = RedisStore(replace(store_settings, redis_url=server.url))
        writer = PulseWriter(late)
        writer.add(NOW, {REQUESTS: 3}, {"snapshot_age_s": 1.0})
        writer.flush()
        assert isinstance(writer.trouble, StoreUnavailableError)
        assert writer.own_series(int(NOW), 1).total(REQUESTS) == 3
        server.start()
        writer.add(NOW + 600, {REQUESTS: 1}, {})
        writer.flush()
        writer.flush()
        assert writer.trouble is None
        assert late.read_pulse(int(NOW), 1, FINE_S).total(REQUESTS) == 3
        assert late.read_pulse(slot_of(NOW + 600), 1, FINE_S).total(REQUESTS) == 1
        late.close()
    finally:
        server.stop()


def test_of_a_long_outage_the_last_quarter_of_an_hour_is_kept(store_settings):
    away = RedisStore(replace(store_settings, redis_url="unix:///nowhere.sock"))
    writer = PulseWriter(away)
    for n in range(SLOTS_KEPT + 10):
        writer.add(NOW + n * FINE_S, {REQUESTS: 1}, {})
    writer.flush()
    for shares in (writer._own, writer._unwritten):
        assert len(shares) == SLOTS_KEPT
        assert min(shares) == int(NOW) + 10 * FINE_S
    away.close()


def test_names_of_another_version_are_left_out():
    series = empty_series(0, 1, FINE_S)
    fill_slot(series, 0, {"a_later_version": 3.0, REQUESTS: 2})
    assert series.total(REQUESTS) == 2
    assert series.counts.sum() == 2


@pytest.mark.parametrize(
    ("milliseconds", "bucket"),
    [(0.0, 0), (FASTEST_MS, 0), (0.51, 1), (1.0, 2), (1.01, 3), (64.0, 14), (1e9, 25)],
)
def test_a_time_falls_into_its_bucket(milliseconds: float, bucket: int):
    assert latency_bucket(milliseconds) == bucket


def test_percentiles_are_near_those_of_the_times_themselves():
    times = np.random.default_rng(1).lognormal(2.0, 0.8, 20_000)
    series = empty_series(0, 2, MINUTE_S)
    filled: dict[str, Any] = dict.fromkeys(LATENCIES, 0)
    for time in times:
        filled[LATENCIES[latency_bucket(time)]] += 1
    fill_slot(series, 1, filled)
    for share in (0.5, 0.9, 0.99):
        assert series.percentile(share) == pytest.approx(np.quantile(times, share), rel=0.05)
    alone = series.percentiles(0.5, 1)
    assert np.isnan(alone[0])
    assert alone[1] == series.percentile(0.5)


def test_there_is_no_percentile_without_feeds():
    assert empty_series(0, 3, FINE_S).percentile(0.5) is None
    assert empty_series(0, 0, FINE_S).percentile(0.5) is None
    assert empty_series(0, 0, FINE_S).rate(REQUESTS) == 0.0


def test_a_single_very_slow_feed_has_a_percentile():
    series = empty_series(0, 1, FINE_S)
    fill_slot(series, 0, {LATENCIES[LATENCY_BUCKETS - 1]: 1})
    assert series.percentile(0.99) > 2000
