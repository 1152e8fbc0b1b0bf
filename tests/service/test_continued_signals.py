"""What a web process holds goes on when another worker takes over just that."""

from dataclasses import replace

import numpy as np
import pytest

from feed.config import DAY_S
from feed.features.ids import IdMap
from feed.worker.loop import Worker
from feed.worker.signals_follower import SignalsFollower
from tests.service.test_worker_leases import NOW, clicks, settle


def readers(follower):
    ids = follower.signals.ids
    counted = follower.signals.counters.readers(np.arange(len(ids))).tolist()
    return dict(zip(ids.ids, counted, strict=True))


def counted_by(store, settings, name, number, count=30, now=NOW):
    """Return a worker that has counted the next clicks."""
    store.append_events(clicks(number, count))
    worker = Worker(store, settings, name)
    settle(worker, now=now)
    return worker


@pytest.fixture
def settings(store_settings):
    return replace(store_settings, archive_seconds=0.0)


def test_a_worker_that_takes_over_all_of_another_lets_followers_go_on(store, settings):
    first = counted_by(store, settings, "first", 0)
    follower = SignalsFollower(store, IdMap())
    assert follower.follow()
    first.stop(NOW)
    before = follower.signals
    second = Worker(store, settings, "second")
    settle(second)
    assert not follower.follow()  # nothing was read anew: forked processes still share it
    assert follower.signals is before
    store.append_events(clicks(30, 3))
    settle(second)
    assert follower.follow()
    fresh = SignalsFollower(store, IdMap())
    fresh.follow()
    assert readers(follower) == readers(fresh) == {"a0": 11.0, "a1": 11.0, "a2": 11.0}


def test_a_follower_that_was_told_more_than_the_dead_worker_kept_loads_anew(store, settings):
    first = counted_by(store, settings, "first", 0)
    first.publisher.checkpoint(NOW)
    store.append_events(clicks(30, 3))
    first.publisher.tick(NOW + 1)  # published, and in no checkpoint
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    store.leave_workers("first")
    second = Worker(store, settings, "second")
    settle(second, now=NOW + 2)
    assert follower.follow()
    assert readers(follower) == {"a0": 11.0, "a1": 11.0, "a2": 11.0}  # counted once


def test_a_worker_that_forgets_articles_lets_followers_forget_them(store, settings):
    first = counted_by(store, settings, "first", 0)
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    first.stop(NOW)
    much_later = NOW + (settings.article_days + 1) * DAY_S
    settle(Worker(store, settings, "second"), now=much_later)
    assert follower.follow()
    assert set(readers(follower).values()) <= {0.0}


def test_a_worker_that_takes_over_from_two_is_loaded_anew(store, settings):
    two = [Worker(store, settings, name) for name in ("first", "second")]
    settle(*two)
    store.append_events(clicks(0, 30))
    settle(*two, now=NOW + 3)
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    for one in two:
        one.stop(NOW + 3)
    settle(Worker(store, settings, "third"), now=NOW + 4)
    assert follower.follow()
    assert readers(follower) == {"a0": 10.0, "a1": 10.0, "a2": 10.0}
