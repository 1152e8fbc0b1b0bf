"""What is counted of a request is in the metrics at once, of whichever process answered it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from feed.service.metrics_directory import MULTIPROCESS_VARIABLE
from feed.service.telemetry import Stopwatch, count_request, render_metrics

COUNT_ONE = """
from feed.service.telemetry import Stopwatch, count_request, render_metrics

watch = Stopwatch(iter([0.0, 0.003, 0.05]).__next__)
watch.lap("ranking")
count_request("/v1/feed", "GET", 200, watch)
print(render_metrics().decode())
"""


def test_a_counted_request_is_in_the_metrics_at_once() -> None:
    watch = Stopwatch()
    watch.lap("a_stage_of_this_test")
    for _ in range(3):
        count_request("/a/route/of/this/test", "GET", 200, watch)
    lines = render_metrics().decode().splitlines()
    assert 'feed_stage_seconds_count{stage="a_stage_of_this_test"} 3.0' in lines
    assert 'feed_http_request_seconds_count{route="/a/route/of/this/test"} 3.0' in lines
    assert any("/a/route/of/this/test" in x and x.startswith("feed_http_requests") for x in lines)


def test_the_durations_of_all_processes_are_added_up(tmp_path: Path) -> None:
    environment = {**os.environ, MULTIPROCESS_VARIABLE: str(tmp_path)}
    command = [sys.executable, "-c", COUNT_ONE]
    for _ in range(2):
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
    lines = ran.stdout.splitlines()
    assert 'feed_stage_seconds_bucket{le="0.002",stage="ranking"} 0.0' in lines
    assert 'feed_stage_seconds_bucket{le="0.004",stage="ranking"} 2.0' in lines
    assert 'feed_stage_seconds_sum{stage="ranking"} 0.006' in lines
    assert 'feed_http_request_seconds_bucket{le="0.06",route="/v1/feed"} 2.0' in lines


def test_methods_that_callers_make_up_are_counted_as_one() -> None:
    for number in range(3):
        count_request("/another/route/of/this/test", f"MADEUP{number}", 405, Stopwatch())
    lines = [line for line in render_metrics().decode().splitlines() if "/another/route" in line]
    counted = [line for line in lines if line.startswith("feed_http_requests_total")]
    assert len(counted) == 1
    assert 'method="other"' in counted[0]
    assert counted[0].endswith(" 3.0")
