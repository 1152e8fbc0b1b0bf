"""Metrics and stage timings of the service, none of which reveal who read what."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import cache

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from feed.domain import Mode, Rung
from feed.service.metrics_directory import MULTIPROCESS_VARIABLE

_FAST = (0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.3, 1.0)

_FULL_RUNGS = frozenset({Rung.PERSONALIZED, Rung.WITHOUT_MODEL})

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
"""The methods with a metric label of their own; callers can make up any others."""

REQUESTS = Counter("feed_http_requests", "HTTP requests", ["route", "method", "status"])
REQUEST_SECONDS = Histogram(
    "feed_http_request_seconds", "Time to answer, seconds", ["route"], buckets=_FAST
)
STAGE_SECONDS = Histogram(
    "feed_stage_seconds", "Time in one stage of a request, seconds", ["stage"], buckets=_FAST
)
FEEDS = Counter("feed_feeds", "Feeds served", ["mode", "rung"])
EVENTS = Counter("feed_events", "Events received", ["outcome"])
RETIMED = Counter(
    "feed_events_retimed",
    "Events whose time was out of bounds and became the time of arrival",
    ["clock"],
)
SHED = Counter("feed_requests_shed", "Requests refused because too many were waiting")
EXPOSURES_LOST = Counter("feed_exposures_lost", "Feeds answered whose record could not be kept")
BUNDLES_REFUSED = Counter("feed_bundles_refused", "Model bundles refused as corrupt or foreign")
BUNDLES_LOADED = Counter("feed_bundles_loaded", "Model bundles taken into service")
STORE_FAILURES = Counter("feed_store_failures", "Operations that the store did not answer")
SNAPSHOT_SECONDS = Histogram(
    "feed_snapshot_seconds", "Time to bring the live snapshot up to date", buckets=_FAST
)
LIVE_ARTICLES = Gauge(
    "feed_live_articles", "Articles that can be shown", multiprocess_mode="livemax"
)
SNAPSHOT_AT = Gauge(
    "feed_snapshot_timestamp_seconds",
    "When the oldest live snapshot was taken, epoch seconds",
    multiprocess_mode="livemin",
)


class Stopwatch:
    """Splits the time of one request into named stages, and notes what was answered.

    Args:
        clock: monotonic seconds.

    Attributes:
        stages: Seconds in each stage.
        rung: Of the feed that was served; empty for any other request.
        fell: Whether that rung is below what was asked for.
        events: How many events were accepted.
    """

    __slots__ = ("_clock", "_last", "_started", "events", "fell", "rung", "stages")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._started = self._last = clock()
        self.stages: dict[str, float] = {}
        self.rung = ""
        self.fell = False
        self.events = 0

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to a stage."""
        now = self._clock()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._last
        self._last = now

    def split(self, stages: Mapping[str, float]) -> None:
        """Add times that were measured elsewhere, in seconds; the rest of this lap is `ranking`."""
        now = self._clock()
        rest = now - self._last
        for stage, seconds in stages.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds
            rest -= seconds
        self.stages["ranking"] = self.stages.get("ranking", 0.0) + max(rest, 0.0)
        self._last = now

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the start."""
        return (self._clock() - self._started) * 1e3

    def server_timing(self) -> str:
        """Return the stages as a `Server-Timing` header, milliseconds."""
        stages = [f"{name};dur={seconds * 1e3:.2f}" for name, seconds in self.stages.items()]
        return ", ".join([*stages, f"total;dur={self.elapsed_ms():.2f}"])


def count_request(route: str, method: str, status: int, watch: Stopwatch) -> None:
    """Count an answered request, and observe how long it and its stages took."""
    _requests(route, method if method in METHODS else "other", status).inc()
    _route_seconds(route).observe(watch.elapsed_ms() / 1e3)
    for name, seconds in watch.stages.items():
        _stage_seconds(name).observe(seconds)


def count_feed(mode: Mode, rung: Rung, watch: Stopwatch) -> None:
    """Count a served feed, and note on the request's stopwatch from which rung it came."""
    _feeds(mode.value, rung.value).inc()
    watch.rung = rung.value
    watch.fell = rung not in _FULL_RUNGS and rung.value != mode.value


@cache
def _requests(route: str, method: str, status: int) -> Counter:
    return REQUESTS.labels(route, method, str(status))


@cache
def _feeds(mode: str, rung: str) -> Counter:
    return FEEDS.labels(mode, rung)


@cache
def _route_seconds(route: str) -> Histogram:
    return REQUEST_SECONDS.labels(route)


@cache
def _stage_seconds(name: str) -> Histogram:
    return STAGE_SECONDS.labels(name)


def forget_process(pid: int) -> None:
    """Remove the gauges of a process that has ended."""
    if MULTIPROCESS_VARIABLE in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def render_metrics() -> bytes:
    """Return the metrics of all processes in Prometheus' text format."""
    if MULTIPROCESS_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
