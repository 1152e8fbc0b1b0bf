"""When a source is checked again."""

from __future__ import annotations

from typing import Any

import pytest
from feed_server import FeedServer, rss

from feed.sources.schedule import (
    interval_after_success,
    is_due,
    read_max_age,
    read_retry_after,
    spread,
    wait_after_failure,
)
from feed.sources.subscription import Source, SourceState

HOUR = 3600.0
NOW = 1_790_000_000.0


def a_source(**fields: Any) -> Source:
    return Source(address="https://paper.example/feed", **fields)


def interval(present: float, *, changed: bool, wait_s: float = 0.0, **fields: Any) -> float:
    state = SourceState(interval_s=present)
    return interval_after_success(a_source(**fields), state, wait_s, changed=changed)


def test_a_feed_that_changes_is_checked_more_often_than_one_that_does_not() -> None:
    assert interval(0, changed=True) == 300
    assert interval(0, changed=False) == 900
    assert interval(600, changed=True) == 300
    assert interval(300, changed=False) == 450
    assert interval(300, changed=True) == 300  # the bounds
    assert interval(900, changed=False) == 900
    assert interval(60, changed=True, min_minutes=1) == 60
    assert interval(HOUR, changed=False, max_minutes=360) == 1.5 * HOUR
    assert interval(600, changed=False, max_minutes=2) == 120
    assert interval(600, changed=True, min_minutes=30) == 1800


def test_what_the_feed_asks_for_is_a_lower_bound_unless_somebody_chose_otherwise() -> None:
    assert interval(300, changed=True, wait_s=HOUR) == HOUR
    assert interval(300, changed=True, wait_s=365 * 24 * HOUR) == 6 * HOUR
    assert interval(300, changed=True, wait_s=HOUR, max_minutes=10) == 300


def test_failures_are_tried_again_later_and_later() -> None:
    waits = [wait_after_failure(a_source(), failures, 0) for failures in (1, 2, 3, 50)]
    assert waits == [300, 600, 1200, 6 * HOUR]
    assert wait_after_failure(a_source(), 1, 2 * HOUR) == 2 * HOUR
    assert wait_after_failure(a_source(), 1, 1e9) == 24 * HOUR
    assert wait_after_failure(a_source(max_minutes=1), 1, 0) == 60


def test_sources_do_not_come_all_at_once() -> None:
    assert [spread(100, chance) for chance in (0, 0.5, 1)] == [100, 105, pytest.approx(110)]


def test_due_are_active_sources_whose_time_has_come_and_those_asked_for() -> None:
    waiting = SourceState(next_at=NOW + 10)
    assert is_due(a_source(), SourceState(), NOW)
    assert not is_due(a_source(), waiting, NOW)
    assert is_due(a_source(), waiting, NOW + 10)
    assert not is_due(a_source(paused=True), waiting, NOW + 10)
    assert not is_due(a_source(), SourceState(gone=True), NOW)
    assert is_due(a_source(asked=1, paused=True), waiting, NOW)
    assert is_due(a_source(), SourceState(next_at=NOW + 30 * 24 * HOUR), NOW)  # a wrong clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Mon, 21 Sep 2026 15:00:00 GMT", 2_800),
        ("Mon, 21 Sep 2020 14:00:00 GMT", 0),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("9" * 50, 999_999_999),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float) -> None:
    assert read_retry_after(text, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("max-age=600", 600),
        ('public, Max-Age="60"', 60),
        ("s-maxage=9, no-cache", 0),
        ("max-age=x", 0),
        ("", 0),
    ],
)
def test_max_age_is_read(text: str, seconds: float) -> None:
    assert read_max_age(text) == seconds


@pytest.mark.parametrize(
    ("channel", "header", "wait"),
    [
        ("<ttl>60</ttl>", "", HOUR),
        ("<sy:updatePeriod>\n hourly </sy:updatePeriod>", "", HOUR),
        (
            "<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>12</sy:updateFrequency>",
            "",
            2 * HOUR,
        ),
        ("<ttl>-5</ttl>", "max-age=1800", 1800),
        ("<ttl>often</ttl>", "", 300),
    ],
)
def test_a_feed_s_own_wish_is_kept_also_while_nothing_changes(
    desk: Any, server: FeedServer, channel: str, header: str, wait: float
) -> None:
    answer = rss("one", channel=channel)
    source = desk.add(server.say("/feed", answer, Cache_Control=header))
    desk.poll()
    assert desk.state(source).next_at == desk.now + wait
    state = desk.poll_when_due(source)
    assert state.next_at == desk.now + max(wait, 450)
