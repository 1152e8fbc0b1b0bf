"""What happens to requests when there are too many at once, or when the machine is slow."""

from __future__ import annotations

import time
from typing import Any

import pytest

from feed.schemas import FeedQuery
from feed.service import gunicorn_config
from feed.service.admission import AdmissionQueue
from feed.service.app import RUNNING, WAITING
from feed.service.telemetry import Stopwatch


def usual(queue: AdmissionQueue, seconds: float) -> AdmissionQueue:
    """Let it be usual that a request ends some seconds after the one before it."""
    queue._usual_s = seconds
    return queue


def test_patience_grows_with_what_a_full_queue_usually_takes() -> None:
    queue = AdmissionQueue(running=2, waiting=48, patience_s=0.3, spare=6)
    assert usual(queue, 0.002).patience_s == 0.3
    assert usual(queue, 0.01).patience_s == pytest.approx(2 * 50 * 0.01)
    assert usual(queue, 60.0).patience_s == 3.0


def test_the_usual_time_is_that_of_the_last_requests() -> None:
    queue = AdmissionQueue(running=1, waiting=0, patience_s=0.3)
    for _ in range(200):
        with queue.turn():
            time.sleep(0.001)
    assert 0.001 <= queue._usual_s < 1.0
    before = queue._usual_s
    for _ in range(200):
        queue.turn().end()
    assert queue._usual_s < before


def test_requests_beside_each_other_count_as_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    queue = AdmissionQueue(running=2, waiting=48, patience_s=0.3, spare=2)
    turns = [queue.turn() for _ in range(4)]
    now[0] = 20.0
    turns[0].end()
    assert queue._usual_s == pytest.approx(0.05 * 20.0 / 4)
    assert queue.patience_s == pytest.approx(min(2 * 50 * queue._usual_s, 3.0))


def test_a_queue_is_full_when_the_next_request_would_be_refused() -> None:
    queue = AdmissionQueue(running=1, waiting=0, patience_s=0.3)
    assert not queue.is_full
    with queue.turn():
        assert queue.is_full
    assert not queue.is_full


def test_a_full_queue_refuses_a_feed_at_the_door(site: Any) -> None:
    site.publish(3)
    admission, turns = site.services.admission, []
    while not admission.is_full:
        admission._queue.acquire()
        turns.append(admission._queue)
    try:
        quick = site.client.get("/v1/feed?user_id=u")
        whole = site.client.get("/v1/feed?user_id=u", headers={"Origin": "https://a.example"})
        assert quick.status_code == whole.status_code == 503
        assert "X-Request-Id" in whole.headers
        assert "X-Request-Id" not in quick.headers
        for name in ("Content-Type", "Retry-After"):
            assert quick.headers[name] == whole.headers[name]
        assert quick.json == whole.json
        assert site.client.get("/readyz").status_code == 200
    finally:
        for turn in turns:
            turn.release()
    assert site.client.get("/v1/feed?user_id=u").status_code == 200
    counts = site.services.pulse.counts.take()
    assert counts["refused"] == 2
    shown = site.client.get("/metrics").text
    assert 'feed_http_requests_total{method="GET",route="/v1/feed",status="503"}' in shown


@pytest.mark.parametrize(("stage", "is_whole"), [("queue", True), ("store_read", False)])
def test_only_a_slow_store_cuts_a_feed_short(site: Any, stage: str, *, is_whole: bool) -> None:
    site.publish(30)
    watch = Stopwatch()
    watch.stages[stage] = 60.0
    query = FeedQuery.model_validate({"user_id": "u", "limit": 20})
    page = site.services.feeds.get_feed(query, watch)
    assert (page["next_cursor"] is not None) == is_whole


def test_threads_in_the_queue_leave_some_for_other_requests() -> None:
    assert gunicorn_config.threads - RUNNING - WAITING >= 6
