"""Durations that were added up say what single observations would have said."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from feed.service.telemetry import Durations, Stopwatch, count_request, render_metrics

BOUNDS = (0.001, 0.01, 0.1)
SECONDS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.25, 3.0)


def histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("seconds", "Seconds", ["stage"], buckets=BOUNDS, registry=registry)


def text_of(registry: CollectorRegistry) -> list[bytes]:
    lines = generate_latest(registry).splitlines()
    return [line for line in lines if b"_created" not in line]


def test_added_up_durations_are_the_observations() -> None:
    one_by_one, together = CollectorRegistry(), CollectorRegistry()
    single, added = histogram(one_by_one).labels("a"), histogram(together).labels("a")
    durations = Durations(BOUNDS)
    for seconds in SECONDS:
        single.observe(seconds)
        durations.add([(added, seconds)])
    assert text_of(together) != text_of(one_by_one)
    for _ in range(2):  # the second time there is nothing left to hand on
        durations.hand_on()
        assert text_of(together) == text_of(one_by_one)


def test_a_counted_request_is_in_the_metrics_at_once() -> None:
    watch = Stopwatch()
    watch.lap("a_stage_of_this_test")
    for _ in range(3):
        count_request("/a/route/of/this/test", "GET", 200, watch)
    lines = render_metrics().decode().splitlines()
    assert 'feed_stage_seconds_count{stage="a_stage_of_this_test"} 3.0' in lines
    assert 'feed_http_request_seconds_count{route="/a/route/of/this/test"} 3.0' in lines
    assert any("/a/route/of/this/test" in x and x.startswith("feed_http_requests") for x in lines)


def test_methods_that_callers_make_up_are_counted_as_one() -> None:
    for number in range(3):
        count_request("/another/route/of/this/test", f"MADEUP{number}", 405, Stopwatch())
    lines = [line for line in render_metrics().decode().splitlines() if "/another/route" in line]
    counted = [line for line in lines if line.startswith("feed_http_requests_total")]
    assert len(counted) == 1
    assert 'method="other"' in counted[0]
    assert counted[0].endswith(" 3.0")
