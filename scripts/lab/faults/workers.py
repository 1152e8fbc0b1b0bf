"""Workers that share the partitions: killed, frozen beyond their leases, joined by another."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from feed.domain import Event, EventKind, Origin
from feed.features.ids import IdMap
from feed.features.network_bound import NetworkBound
from feed.storage.key_names import LEAD
from feed.storage.redis_store import RedisStore
from feed.worker.publication import BOUND_BLOB, Publication
from feed.worker.signals_follower import SignalsFollower
from lab.faults.crashes import ENVIRONMENT, begin, finish
from lab.faults.installation import PATIENCE_S, Installation, wait_until
from lab.faults.outcome import Outcome

REBALANCED_S = 15.0
_WEIGHED = "weighed-article-"
_RUN = re.compile(r"\.(\d+)\.[0-9a-f]{8}(\.\d+)?$")


def break_workers(data_dir: Path, events: int, rate: float, seed: int) -> Outcome:
    """Kill one of two workers, freeze each, kill both, add a third and kill it.

    After each fault all partitions must have a worker again within 15 seconds, in equal parts.
    At the end every click must have been weighed once for the trending test.
    """
    outcome = Outcome(
        "workers", "of two workers each killed and frozen, both killed, a third added"
    )
    environment = {**ENVIRONMENT, "FEED_WORKERS": "2"}
    with (
        Installation(data_dir, environment=environment) as installation,
        closing(installation.open_store()) as store,
    ):
        _expect_shares(store, outcome, "start of two", 2)
        load, probe = begin(installation, events, rate, seed)
        clicks = _ReaderClicks(store)
        clicks.start()
        for leads in (True, False):
            name = "the leading one" if leads else "the other one"
            _kill(store, outcome, f"kill -9 of {name}", [_choose(store, leads=leads)])
            _freeze(store, outcome, name, _choose(store, leads=leads))
        _kill(store, outcome, "kill -9 of both", store.read_workers().live)
        url = installation.settings().redis_url
        third = Installation(data_dir, url, {**ENVIRONMENT, "FEED_REDIS_URL": url})
        third.log_path = data_dir.with_name("third.log")
        before = store.read_workers().live
        process = third.run_beside("worker")
        try:
            _expect_shares(store, outcome, "join of a third", 3)
            joined = [run for run in store.read_workers().live if run not in before]
        finally:
            process.kill()
            process.wait(PATIENCE_S)
        _expect_shares(store, outcome, "kill -9 of the third", 2, joined)
        outcome.times += 2
        clicks.stopping.set()
        clicks.join()
        load.acknowledged.update(clicks.acknowledged)
        finish(installation, load, probe, outcome)
        with suppress(TimeoutError):
            wait_until(lambda: all_is_weighed(store), "all clicks to be weighed", PATIENCE_S, 0.5)
        outcome.expect(all_is_weighed(store), "clicks were weighed twice or not at all")
        outcome.remarks.append(f"{len(clicks.acknowledged)} clicks of readers' devices weighed")
    return outcome


class _ReaderClicks(threading.Thread):
    """Sends clicks as from readers' own devices, which the trending test must weigh."""

    def __init__(self, store: RedisStore) -> None:
        super().__init__()
        self._store = store
        self.stopping = threading.Event()
        self.acknowledged: set[str] = set()

    def run(self) -> None:
        while not self.stopping.wait(0.05):
            n, now = len(self.acknowledged), time.time()
            click = Event(
                event_id=f"weighed-{n}",
                user_id=f"device-{n}",
                article_id=f"{_WEIGHED}{n % 7}",
                kind=EventKind.CLICK,
                occurred_at=now,
                received_at=now,
            )
            self._store.append_events([click], Origin(f"network-{n % 11}", n % 3 == 0))
            self.acknowledged.add(click.event_id)


def all_is_weighed(store: RedisStore) -> bool:
    """Return whether the trending test's bound holds each counted click once.

    Some articles are clicked from readers' own devices alone: their decayed readers that were
    weighed must be those that were counted.
    """
    data = store.read_blob(BOUND_BLOB)
    if data is None:
        return False
    ids = IdMap()
    follower = SignalsFollower(store, ids)
    follower.follow()
    kept = Publication.from_bytes(data)
    bound = NetworkBound.load(kept.body, ids)
    rows = ids.rows([one for one in ids.ids if one.startswith(_WEIGHED)])
    counted = follower.signals.counters.clicks(rows, kept.at)[:, 0]
    return len(rows) > 0 and bool(np.allclose(bound.readers(rows, kept.at), counted, rtol=1e-6))


def _freeze(store: RedisStore, outcome: Outcome, name: str, run: str) -> None:
    """Freeze a worker until the other one has all partitions, and wake it again."""
    pid = _process_of(run)
    outcome.times += 1
    os.kill(pid, signal.SIGSTOP)
    try:
        _expect_shares(store, outcome, f"SIGSTOP of {name}", 1, [run])
        time.sleep(1.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    _expect_shares(store, outcome, f"SIGCONT of {name}", 2, [run])


def _kill(store: RedisStore, outcome: Outcome, what: str, runs: Collection[str]) -> None:
    """Kill workers at once; the supervisor starts others in their place."""
    outcome.times += 1
    for run in runs:
        os.kill(_process_of(run), signal.SIGKILL)
    _expect_shares(store, outcome, what, 2, runs)


def _choose(store: RedisStore, *, leads: bool) -> str:
    table = store.read_workers()
    leader = table.holder_of(LEAD)
    return leader if leads else next(run for run in table.live if run != leader)


def _process_of(run: str) -> int:
    found = _RUN.search(run)
    if found is None:
        raise ValueError(f"{run} names no process")
    return int(found[1])


def _expect_shares(
    store: RedisStore, outcome: Outcome, what: str, workers: int, without: Collection[str] = ()
) -> None:
    """Wait until so many workers hold all partitions in equal parts; note how long it took."""

    def is_shared_out() -> bool:
        table = store.read_workers()
        sizes = [table.held(run) for run in table.live]
        return (
            len(sizes) == workers
            and not set(table.live) & set(without)
            and sum(sizes) == store.partitions
            and max(sizes) - min(sizes) <= 1
            and bool(table.holder_of(LEAD))
        )

    try:
        seconds = wait_until(is_shared_out, what, PATIENCE_S)
    except TimeoutError as error:
        outcome.expect(holds=False, promise=str(error))
        return
    outcome.remarks.append(f"{what}: shared out after {seconds:.1f} s")
    if what != "start of two":
        outcome.expect(seconds <= REBALANCED_S, f"{what}: shared out only after {seconds:.1f} s")
