#!/usr/bin/env python3
"""How fast events go into the store, and from the stream to counters and archive.

First a writer fills the streams in batches, as the web process does, with no HTTP around it. Then
a worker process of its own counts and archives all of it, from the lease to the last Parquet file.
The figures of a shared machine vary: the processor time of each part is printed beside the rate.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from feed.config import Settings
from feed.domain import Event, EventKind
from feed.service.signals_log import SIGNALS_BLOB, Publication
from feed.service.supervisor import settings_to_environment
from feed.storage.archive import Archive
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore

KINDS = ["impression"] * 14 + ["click"] * 4 + ["read"] * 2
RUN_WORKER = """
import signal, threading
from feed.config import settings_from_environment
from feed.service.worker import run_worker
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
run_worker(settings_from_environment(), stop)
"""


def make_events(count: int, seed: int) -> list[Event]:
    """Return events as a site sends them: mostly impressions, 2,000 articles, 50,000 readers."""
    chance = random.Random(seed)  # noqa: S311 - a simulation
    now = time.time()
    return [
        Event(
            event_id=f"{seed}-{number}",
            user_id=f"reader-{chance.randrange(50_000)}",
            article_id=f"article-{int(2000 * chance.random() ** 3)}",
            kind=EventKind(chance.choice(KINDS)),
            occurred_at=now,
            received_at=now,
            dwell_s=20.0,
            request_id="0123456789abcdef",
            position=number % 20,
            context={"device": "phone", "platform": "web"},
        )
        for number in range(count)
    ]


def measure_writing(store: RedisStore, events: list[Event], batch: int) -> dict[str, float]:
    """Return the rate at which the store takes events, and what each costs."""
    before = server_seconds(store)
    processor, begun = time.process_time(), time.perf_counter()
    for start in range(0, len(events), batch):
        store.append_events(events[start : start + batch])
    seconds = time.perf_counter() - begun
    return {
        "batch": batch,
        "events_per_second": len(events) / seconds,
        "writer_us_per_event": (time.process_time() - processor) / len(events) * 1e6,
        "store_us_per_event": (server_seconds(store) - before) / len(events) * 1e6,
    }


def measure_worker(settings: Settings, store: RedisStore, events: int) -> dict[str, float]:
    """Return the rate from stream to counters and archive of one worker process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_WORKER], env=settings_to_environment(settings)
    )
    try:
        while store.read_blob(SIGNALS_BLOB) is None:
            time.sleep(0.01)
        begun = time.perf_counter()
        counted_s = archived_s = None
        while counted_s is None or archived_s is None:
            time.sleep(0.02)
            if counted_s is None and counts_everything(store):
                counted_s = time.perf_counter() - begun
            if archived_s is None and archived_events(settings) == events:
                archived_s = time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "events_per_second": events / max(counted_s, archived_s),
        "counted_per_second": events / counted_s,
        "archived_per_second": events / archived_s,
        "worker_us_per_event": used / events * 1e6,
        "worker_memory_mb": after.ru_maxrss / 1024,
    }


def counts_everything(store: RedisStore) -> bool:
    """Return whether the last delta reaches the end of every stream."""
    last = store.last_delta()
    if last is None:
        return False
    positions = Publication.from_bytes(last[1]).positions
    ends = store.stream_ends()
    return all(positions.get(partition) == end for partition, end in ends.items())


def archived_events(settings: Settings) -> int:
    """Return how many events the archive holds."""
    with Archive(settings.data_dir / "archive").query() as connection:
        return int(connection.execute("SELECT count(*) FROM events").fetchall()[0][0])


def server_seconds(store: RedisStore) -> float:
    """Return the processor time the store has used, seconds."""
    return store.server_info("cpu", "used_cpu_user") + store.server_info("cpu", "used_cpu_sys")


def main() -> None:
    """Print the figures, and write them with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000, help="events (200000)")
    parser.add_argument("--batch", type=int, default=50, help="events of one write (50)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="feed-bench-") as directory,
        EmbeddedStore(Path(directory)) as server,
    ):
        settings = replace(
            Settings(), data_dir=Path(directory), redis_url=server.url, store_timeout_ms=5000
        )
        with closing(RedisStore(settings)) as store:
            events = make_events(arguments.events, arguments.seed)
            figures = {
                "events": len(events),
                "writing": measure_writing(store, events, arguments.batch),
                "worker": measure_worker(settings, store, len(events)),
            }
    for part in ("writing", "worker"):
        print(part)
        for name, value in figures[part].items():  # type: ignore[attr-defined]
            print(f"  {name:24s} {value:12,.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
