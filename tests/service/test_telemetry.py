"""What is counted of a request is in the metrics at once, of whichever process answered it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from feed.config import Settings
from feed.service import metrics_directory as metrics
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


def test_metrics_are_shared_off_the_disk_of_the_data_if_a_place_has_room_and_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(Settings(), data_dir=tmp_path)
    room, devices = {"a": 0, "b": 1 << 30}, {"a": 1, "b": 2}
    for name in room:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(metrics, "PLACES", (str(tmp_path / "a"), str(tmp_path / "b")))
    monkeypatch.setattr(metrics, "room_bytes", lambda place: room[place.name])
    monkeypatch.setattr(metrics, "device", lambda place: devices.get(place.name, 0))
    chosen = metrics.metrics_directory(settings)
    assert chosen.parent == tmp_path / "b"
    other_port = metrics.metrics_directory(replace(settings, port=settings.port + 1))
    assert other_port.parent == tmp_path / "b"
    assert other_port != chosen
    metrics.prepare_metrics(chosen)
    assert chosen.stat().st_mode & 0o777 == 0o700
    (chosen / "counter_1.db").touch()
    metrics.prepare_metrics(chosen)
    assert not list(chosen.iterdir())
    metrics.remove_metrics(chosen)
    chosen.symlink_to(tmp_path)  # somebody else's
    in_data = metrics.metrics_directory(settings)
    assert in_data.parent == tmp_path / "run"
    chosen.unlink()
    devices["b"] = 0  # where the data is as well
    assert metrics.metrics_directory(settings) == in_data


def test_methods_that_callers_make_up_are_counted_as_one() -> None:
    for number in range(3):
        count_request("/another/route/of/this/test", f"MADEUP{number}", 405, Stopwatch())
    lines = [line for line in render_metrics().decode().splitlines() if "/another/route" in line]
    counted = [line for line in lines if line.startswith("feed_http_requests_total")]
    assert len(counted) == 1
    assert 'method="other"' in counted[0]
    assert counted[0].endswith(" 3.0")
