"""How long workers keep their leases, and what they forget when they take over from others."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from feed.domain import ConflictError, Event, EventKind
from feed.features.ids import IdMap
from feed.worker.loop import Worker, run_worker
from feed.worker.membership import LEASE_SECONDS, STUCK_SECONDS, Membership
from feed.worker.signals_follower import SignalsFollower

NOW = 1_780_000_000.0


def clicks(first, count):
    return [
        Event(
            event_id=f"click{n}",
            user_id=f"u{n}",
            article_id=f"a{n % 3}",
            kind=EventKind.CLICK,
            occurred_at=NOW + n / 10,
            received_at=NOW + n / 10,
        )
        for n in range(first, first + count)
    ]


def settle(*workers, now=NOW):
    for _ in range(4):
        for one in workers:
            one.tick(now)


def expiry(store, run):
    key = store._keys.catalogue("workers")
    return store._link.call(key, "ZSCORE", key, run)


def test_a_busy_worker_is_kept_alive_until_it_is_stuck(store):
    now = [0.0]
    member = Membership(store, "busy", lambda: now[0])
    member.renew()
    key = store._keys.catalogue("workers")
    store._link.call(key, "ZINCRBY", key, -1000, "busy")  # a second has passed
    before = expiry(store, "busy")
    member.keep_alive()
    assert expiry(store, "busy") == before  # it has only just been renewed
    now[0] = LEASE_SECONDS / 2
    member.keep_alive()
    assert float(expiry(store, "busy")) > float(before)
    before, now[0] = expiry(store, "busy"), STUCK_SECONDS
    member.keep_alive()
    assert expiry(store, "busy") == before


def test_a_run_that_is_over_is_not_brought_back(store):
    now = [0.0]
    member = Membership(store, "dead", lambda: now[0])
    member.renew()
    store.leave_workers("dead")
    now[0] = LEASE_SECONDS / 2
    member.keep_alive()
    assert expiry(store, "dead") is None
    with pytest.raises(ConflictError):
        member.renew()


def test_a_worker_whose_step_takes_long_keeps_its_leases(store, store_settings):
    """The thread that counts stands still until the store has heard of the worker again."""
    stop, seen = threading.Event(), []

    def clock():
        runs = store.read_workers().live
        if threading.current_thread() is counting and runs and not seen:
            first = expiry(store, runs[0])
            wait_until(lambda: expiry(store, runs[0]) > first)
            seen.append(runs[0])
            stop.set()
        return NOW

    counting = threading.Thread(target=run_worker, args=(store_settings, stop, clock))
    counting.start()
    counting.join()
    assert seen


def wait_until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_article_is_forgotten_when_no_worker_has_readers_of_it(store, store_settings):
    settings = replace(store_settings, article_days=1 / 24)
    two = [Worker(store, settings, name) for name in ("first", "second")]
    settle(*two)
    store.append_events(clicks(0, 60))  # of a0, a1 and a2
    settle(*two, now=NOW + 1)
    later = NOW + 7200
    store.append_events([replace(clicks(999, 1)[0], article_id="a0", occurred_at=later)])
    counted = [one.tick(later).counted for one in two]
    for one in two:
        one.publisher.checkpoint(later)
    dead = counted.index(0)  # no reader of its own has read anything for two hours
    store.leave_workers(("first", "second")[dead])
    settle(two[1 - dead], now=later + 60)
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    ids = follower.signals.ids
    totals = dict(zip(ids.ids, follower.signals.counters.readers(np.arange(len(ids))), strict=True))
    assert totals["a0"] == 21  # the other one's readers have read it: all of it is kept
    assert 0 < totals["a1"] < 20  # the part of the dead one is forgotten
