"""The worker watches by itself, and goes on counting meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from lab.simulation.archive import World, write_simulated_log
from watched_desk import START, Desk

from feed.config import DAY_S, Settings
from feed.domain import Event, EventKind
from feed.experiments.design.definitions import Experiment
from feed.watching.findings import WatchLook
from feed.watching.look_process import LookProcess
from feed.watching.watcher import LEASE, Watcher
from feed.worker.loop import Worker, run_worker

PATIENCE_S = 120.0
"""Far longer than anything takes; only a hang meets it."""


def look_forever(settings: Settings, experiment: Experiment, now: float) -> WatchLook:
    (settings.data_dir / "looking").touch()
    while True:
        sum(range(1000))


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def clicks(count: int) -> list[Event]:
    return [
        Event(
            event_id=f"e{n}",
            user_id=f"u{n}",
            article_id="a",
            kind=EventKind.CLICK,
            occurred_at=START,
            received_at=START,
        )
        for n in range(count)
    ]


def test_counting_goes_on_while_a_look_runs(desk: Desk) -> None:
    desk.begin()
    watcher = Watcher(
        desk.store, desk.settings, clock=lambda: desk.now, look=LookProcess(look_forever)
    )
    thread = threading.Thread(target=watcher.tick)
    thread.start()
    try:
        wait_for((desk.settings.data_dir / "looking").exists)
        desk.store.append_events(clicks(50))
        assert Worker(desk.store, desk.settings).tick(desk.now).counted == 50
        assert thread.is_alive()
        assert desk.store.lease_holder(LEASE) is not None
    finally:
        watcher.interrupt()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert desk.store.lease_holder(LEASE) is None
    assert desk.store.read_watched() == {}


@contextmanager
def working(desk: Desk, **changes: float) -> Iterator[None]:
    stop = threading.Event()
    settings = replace(desk.settings, **changes)
    thread = threading.Thread(target=run_worker, args=(settings, stop, lambda: desk.now))
    thread.start()
    try:
        wait_for(lambda: desk.store.lease_holder("worker") is not None)
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_the_worker_makes_reports_by_itself(desk: Desk) -> None:
    world = World(experiment="trial", readers=60, start_at=START // DAY_S * DAY_S, days=1)
    write_simulated_log(desk.settings.data_dir, world)
    desk.begin("trial")
    with working(desk):
        wait_for(lambda: "trial" in desk.store.read_watched())
    assert (desk.settings.data_dir / "reports" / "trial.html").is_file()


def test_a_worker_that_should_never_watch_does_not(desk: Desk) -> None:
    others = set(threading.enumerate())
    with working(desk, watch_minutes=0.0):
        names = {thread.name for thread in set(threading.enumerate()) - others}
    assert "archiver" in names
    assert "watcher" not in names
