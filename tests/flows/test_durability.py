"""Acknowledged means kept: processes are killed in the middle of their work."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from feed.config import Settings
from feed.domain import Event, EventKind, StoreUnavailableError
from feed.service.child_environment import environment_of_child
from feed.storage.archive import Archive
from feed.storage.embedded import EmbeddedStore
from feed.storage.key_names import LEAD
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker

NOW = 1_780_000_000.0

RUN_WORKER = """
import signal, threading
from feed.environment import settings_from_environment
from feed.worker.loop import run_worker
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
run_worker(settings_from_environment(), stop)
"""


def make_batch(first, size):
    return [
        Event(
            event_id=f"e{n}",
            user_id=f"u{n % 97}",
            article_id=f"a{n}",
            kind=EventKind.CLICK,
            occurred_at=NOW,
            received_at=NOW,
        )
        for n in range(first, first + size)
    ]


class Writer(threading.Thread):
    """Writes batches until told to stop, repeating each until it is acknowledged."""

    def __init__(self, settings):
        super().__init__()
        self.acknowledged = 0
        self.refused = 0
        self.done = threading.Event()
        self._store = RedisStore(settings)

    def run(self):
        with closing(self._store):
            while not self.done.is_set():
                batch = make_batch(self.acknowledged, 20)
                try:
                    self._store.append_events(batch)
                except StoreUnavailableError:
                    self.refused += 1
                    time.sleep(0.01)
                else:
                    self.acknowledged += len(batch)
                    time.sleep(0.005)


@pytest.fixture
def installation(tmp_path):
    with EmbeddedStore(tmp_path) as server:
        yield (
            server,
            replace(
                Settings(),
                redis_url=server.url,
                data_dir=tmp_path,
                store_timeout_ms=1000,
                archive_seconds=0.05,
                archive_events=500,
                retention_days=0,  # the workers' clock is the real one, the events' is not
            ),
        )


def finish(settings):
    """Let a last worker do what is left; return it."""
    settings = replace(settings, archive_events=50_000)
    with closing(RedisStore(settings)) as store:
        store.leave_workers(holder(store))
        worker = Worker(store, settings, "last")
        # What a killed worker had sent before may renew its lease after the release above.
        wait_until(lambda: worker.tick(NOW).leads)
        now, idle = NOW, 0
        while idle < 2:  # an archive file may be due only some time after the last event
            now += 10
            progress = worker.tick(now)
            idle = 0 if progress.counted or progress.archived else idle + 1
        return worker


def holder(store):
    return store.read_workers().holder_of(LEAD)


def assert_everything_is_there_once(settings, acknowledged):
    worker = finish(settings)
    archived = Counter(
        Archive(settings.data_dir / "archive").event_columns(0, 1e11, ["event_id"])["event_id"]
    )
    missing = {f"e{n}" for n in range(acknowledged)} - set(archived)
    assert not missing
    assert set(archived.values()) <= {1}
    signals = worker.publisher.signals
    articles = [event_id.replace("e", "a") for event_id in archived]
    readers = signals.counters.readers(signals.ids.rows(articles))
    assert readers.tolist() == [1.0] * len(archived)


def test_a_store_killed_while_it_takes_events_loses_none_it_acknowledged(installation):
    server, settings = installation
    writer = Writer(settings)
    writer.start()
    for _ in range(3):
        kept, refused = writer.acknowledged, writer.refused
        wait_until(lambda kept=kept: writer.acknowledged > kept)
        server.kill()
        wait_until(lambda refused=refused: writer.refused > refused)
        server.start()
    kept = writer.acknowledged
    wait_until(lambda: writer.acknowledged > kept)
    writer.done.set()
    writer.join()
    assert_everything_is_there_once(settings, writer.acknowledged)


def test_workers_killed_at_random_moments_archive_and_count_everything_once(installation):
    _, settings = installation
    chance = random.Random(7)
    writer = Writer(settings)
    writer.start()
    environment = environment_of_child(settings) | {"PYTHONPATH": str(Path.cwd())}
    with closing(RedisStore(settings)) as store:
        for _ in range(3):
            process = subprocess.Popen([sys.executable, "-c", RUN_WORKER], env=environment)
            wait_until(lambda: holder(store))
            time.sleep(0.1 + 0.4 * chance.random())
            process.send_signal(signal.SIGKILL)
            process.wait()
            store.leave_workers(holder(store))
        assert store.read_shares()[1]
    writer.done.set()
    writer.join()
    assert_everything_is_there_once(settings, writer.acknowledged)


def wait_until(condition):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
