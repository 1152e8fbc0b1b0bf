#!/usr/bin/env python3
"""How fast events go into the store, and from the stream to counters and archive.

First a writer fills the streams in batches, as the web process does, with no HTTP around it. Then
a worker process of its own counts and archives all of it, from the lease to the last Parquet file.
Last, feeds are served at an even pace beside a worker that has nothing else to do.
The figures of a shared machine vary: the processor time of each part is printed beside the rate.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from feed.config import Settings
from feed.domain import (
    Event,
    EventKind,
    Mode,
    Origin,
    Reason,
    ReasonCode,
    Rung,
    ServedFeed,
    Slots,
)
from feed.service.child_environment import environment_of_child
from feed.storage.archive import Archive
from feed.storage.archive_ledger import START
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from feed.worker.publication import Publication
from feed.worker.signals_follower import stream_order
from lab.bench.rows import tell

SLOTS, SLATE = 20, 200
SETTLE_S, REST_S = 3.0, 10.0
KINDS = ["impression"] * 14 + ["click"] * 4 + ["read"] * 2
RUN_WORKER = """
import signal, threading
from feed.environment import settings_from_environment
from feed.worker.loop import run_worker
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


def measure_writing(
    store: RedisStore, events: list[Event], batch: int, networks: int
) -> dict[str, float]:
    """Return the rate at which the store takes events, and what each costs.

    Each batch comes from one of some networks; 0: all from a trusted caller.
    """
    before = server_seconds(store)
    processor, begun = time.process_time(), time.perf_counter()
    for start in range(0, len(events), batch):
        number = start // batch % max(networks, 1)
        origin = Origin(f"{number:016x}", number % 3 == 0) if networks else None
        store.append_events(events[start : start + batch], origin)
    seconds = time.perf_counter() - begun
    return {
        "batch": batch,
        "events_per_second": len(events) / seconds,
        "writer_us_per_event": (time.process_time() - processor) / len(events) * 1e6,
        "store_us_per_event": (server_seconds(store) - before) / len(events) * 1e6,
    }


def measure_worker(
    settings: Settings, store: RedisStore, rows: int, table: str = "events"
) -> dict[str, float]:
    """Return the rate from stream to counters and archive of one worker process.

    Its processor time is counted from when it begins to work: importing is not in it.
    """
    with running_worker(settings, store) as pid:
        begun, started_s = time.perf_counter(), cpu_seconds(pid)
        counted_s = archived_s = None
        while counted_s is None or archived_s is None:
            time.sleep(0.02)
            if counted_s is None and counts_everything(store):
                counted_s = time.perf_counter() - begun
            if archived_s is None and archived_rows(settings, table) == rows:
                archived_s = time.perf_counter() - begun
        used_s = cpu_seconds(pid) - started_s
    return {
        "events_per_second": rows / max(counted_s, archived_s),
        "counted_per_second": rows / counted_s,
        "archived_per_second": rows / archived_s,
        "worker_us_per_event": used_s / rows * 1e6,
        "worker_memory_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def measure_steady(
    settings: Settings, store: RedisStore, feeds: list[ServedFeed], per_second: float
) -> dict[str, float]:
    """Return what a feed costs the worker while feeds come at an even pace, and with none.

    The worker's polling and its small archive files are in it, which a backlog does not show.
    """
    with running_worker(settings, store) as pid:
        time.sleep(SETTLE_S)
        rest_s = cpu_seconds(pid)
        time.sleep(REST_S)
        begun, started_s = time.perf_counter(), cpu_seconds(pid)
        for number, feed in enumerate(feeds):
            time.sleep(max(0.0, begun + number / per_second - time.perf_counter()))
            store.save_served(replace(feed, served_at=time.time()), new_slate=False)
        used_s = cpu_seconds(pid) - started_s
    return {
        "served_per_second": len(feeds) / (time.perf_counter() - begun),
        "worker_us_per_served": used_s / len(feeds) * 1e6,
        "at_rest_percent_of_core": (started_s - rest_s) / REST_S * 100,
    }


@contextmanager
def running_worker(settings: Settings, store: RedisStore) -> Iterator[int]:
    """Run a worker process; give its id when it has begun to work."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_WORKER], env=environment_of_child(settings)
    )
    try:
        while store.read_workers().unowned(store.partitions):
            time.sleep(0.01)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counts_everything(store: RedisStore, ends: Mapping[int, str] | None = None) -> bool:
    """Return whether the deltas reach the end of every stream, or the stream ids of `ends`."""
    positions: dict[int, str] = {}
    for _, data in store.read_deltas("0-0"):
        positions |= Publication.from_bytes(data).positions
    ends = store.stream_ends() if ends is None else ends
    return all(
        stream_order(positions.get(partition, START)) >= stream_order(end)
        for partition, end in ends.items()
    )


def archived_rows(settings: Settings, table: str) -> int:
    """Return how many rows a table of the archive has."""
    with Archive(settings.data_dir / "archive").query() as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608


def server_seconds(store: RedisStore) -> float:
    """Return the processor time the store has used, seconds."""
    return store.server_info("cpu", "used_cpu_user") + store.server_info("cpu", "used_cpu_sys")


def make_served(count: int) -> list[ServedFeed]:
    """Return first pages of 20 slots out of slates of 200."""
    now = time.time()
    reason = Reason(
        code=ReasonCode.BECAUSE_YOU_READ,
        text='Because you read "The ferry goes electric, and the harbour falls quiet"',
        article_id="article-1",
    )
    return [
        ServedFeed(
            request_id=f"request-{number}",
            user_id=f"reader-{number % 5_000}",
            served_at=now,
            mode=Mode.PERSONALIZED,
            rung=Rung.PERSONALIZED,
            personalized=True,
            model_version="bench-1",
            experiments={},
            slots=Slots(
                article_ids=[f"article-{(number * 7 + slot) % 2000}" for slot in range(SLATE)],
                positions=range(SLATE),
                scores=[0.123456789 / (slot + 1) for slot in range(SLATE)],
                reasons=[(reason,)] * SLATE,
                sources=[("content", "popular")] * SLATE,
                trending=[False] * SLATE,
                explored=[False] * SLATE,
                pinned=[False] * SLATE,
                propensities=[1.0] * SLATE,
            ),
            shown_from=0,
            shown_to=SLOTS,
            latency_ms=5.0,
            counters_at="1-0",
            context={"device": "phone", "platform": "web"},
        )
        for number in range(count)
    ]


def measure_saving(store: RedisStore, feeds: list[ServedFeed]) -> dict[str, float]:
    """Return what keeping a served feed (its record, and its slate for paging) costs."""
    before, processor = server_seconds(store), time.process_time()
    for feed in feeds:
        store.save_served(feed, new_slate=True)
    return {
        "writer_us_per_served": (time.process_time() - processor) / len(feeds) * 1e6,
        "store_us_per_served": (server_seconds(store) - before) / len(feeds) * 1e6,
    }


def measure_everything(
    events: int, served: int, batch: int = 50, seed: int = 7, networks: int = 0
) -> dict[str, dict[str, float]]:
    """Return the figures of writing and of the worker, for events and for served feeds."""
    figures: dict[str, dict[str, float]] = {}
    with new_store() as (settings, store):
        figures["writing"] = measure_writing(store, make_events(events, seed), batch, networks)
        figures["worker"] = measure_worker(settings, store, events)
    with new_store() as (settings, store):
        figures["saving"] = measure_saving(store, make_served(served))
        worker = measure_worker(settings, store, served * SLOTS, "served")
        figures["served"] = {
            "served_per_second": worker["events_per_second"] / SLOTS,
            "worker_us_per_served": worker["worker_us_per_event"] * SLOTS,
        }
    return figures


@contextmanager
def new_store() -> Iterator[tuple[Settings, RedisStore]]:
    """Give an empty store in a directory of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="feed-bench-") as directory,
        EmbeddedStore(Path(directory)) as server,
    ):
        settings = replace(
            Settings(), data_dir=Path(directory), redis_url=server.url, store_timeout_ms=5000
        )
        with closing(RedisStore(settings)) as store:
            yield settings, store


def main() -> None:
    """Print the figures, and write them with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000, help="events (200000)")
    parser.add_argument("--served", type=int, default=5_000, help="served feeds (5000)")
    parser.add_argument("--batch", type=int, default=50, help="events of one write (50)")
    parser.add_argument(
        "--networks", type=int, default=0, help="networks events come from; 0: trusted callers (0)"
    )
    parser.add_argument("--steady", type=float, default=60.0, help="seconds of even pace (60)")
    parser.add_argument("--rate", type=float, default=200.0, help="feeds a second of it (200)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    figures = measure_everything(
        arguments.events, arguments.served, arguments.batch, arguments.seed, arguments.networks
    )
    if arguments.steady:
        with new_store() as (settings, store):
            feeds = make_served(round(arguments.steady * arguments.rate))
            figures["steady"] = measure_steady(settings, store, feeds, arguments.rate)
    tell(figures, arguments.json)


if __name__ == "__main__":
    main()
