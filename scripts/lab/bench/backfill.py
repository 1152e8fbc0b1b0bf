#!/usr/bin/env python3
"""How fast a worker takes in clicks of readers with long histories, and what feeds cost meanwhile.

A million clicks of 5,000 readers on 20,000 articles go into the streams in time order, as an import
sends them. Each is paired with the reader's ten clicks before it. First something reads meanwhile
what the store has on a reader, as a feed does. Then a worker process of its own counts and archives
such clicks. Then one process does the same a stage at a time, with a stopwatch.
Last, `feed serve` takes such clicks in while feeds are asked for at an even pace: beside
them stand the same feeds before the backfill. All clicks lie within the last five days.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson

from feed.arrays import Integers
from feed.config import DAY_S, Settings
from feed.domain import Event, EventKind
from feed.features.ids import IdMap
from feed.features.state import LiveSignals
from feed.storage.embedded import EmbeddedStore
from feed.storage.records import RecordType
from feed.storage.redis_store import RedisStore
from feed.worker.archiving import ArchiveFeeder
from feed.worker.loop import COLLECT_AFTER
from feed.worker.publication import START
from feed.worker.signals import COUNTED_AT_ONCE, RECORDS_PER_TICK
from lab.bench.load import Load, run_load
from lab.bench.rows import tell
from lab.bench.service import feed_requests, serving
from lab.bench.serving import new_site
from lab.bench.worker import counts_everything, measure_worker, measure_writing, new_store
from lab.bench.world import Site

WINDOW_S = 5 * DAY_S
WRITTEN_AT_ONCE = 500
QUIET_S = 15.0
FEEDS_PER_SECOND = 10.0


def make_clicks(count: int, readers: int, articles: int, seed: int = 7) -> Iterator[Event]:
    """Yield clicks in time order, ever later; popularity falls with an article's number."""
    rng = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(10, articles + 10)
    rows = rng.choice(articles, count, p=popularity / popularity.sum())
    users: Integers = rng.integers(0, readers, count)
    now = time.time()
    times = np.linspace(now - WINDOW_S, now - 1.0, count)
    for number, (user, row, at) in enumerate(
        zip(users.tolist(), rows.tolist(), times.tolist(), strict=True)
    ):
        yield Event(
            event_id=f"{seed}-{number}",
            user_id=f"reader-{user:06d}",
            article_id=f"article-{row:06d}",
            kind=EventKind.CLICK,
            occurred_at=at,
            received_at=now,
        )


class _Stopwatch:
    """Adds the processor time since the last lap to a stage, seconds."""

    def __init__(self, stages: dict[str, float]) -> None:
        self._stages, self._at = stages, time.process_time()

    def lap(self, stage: str) -> None:
        now = time.process_time()
        self._stages[stage] += now - self._at
        self._at = now


def measure_stages(settings: Settings, store: RedisStore) -> dict[str, float]:
    """Return the processor time of each stage for all that lies in the streams, seconds.

    `follow` is what a web process does with the deltas; `archive` includes reading them again.
    """
    stages = dict.fromkeys(("read", "decode", "count", "delta", "follow"), 0.0)
    worker, web = LiveSignals(), LiveSignals()
    gc.freeze()  # a worker does not hold the clicks that were written
    gc.set_threshold(*COLLECT_AFTER)
    stopwatch = _Stopwatch(stages)
    after, sent = dict.fromkeys(range(store.partitions), START), 0
    while True:
        for found in store.follow_streams(after, RECORDS_PER_TICK, COUNTED_AT_ONCE):
            stopwatch.lap("read")
            after |= {p: records[-1].stream_id for p, records in found.items() if records}
            records = [r for some in found.values() for r in some if r.type is RecordType.EVENT]
            payloads = [orjson.loads(r.payload) for r in records]
            stopwatch.lap("decode")
            worker.apply_events(payloads)
            stopwatch.lap("count")
        if not worker.has_changes:
            break
        delta = worker.delta()
        stopwatch.lap("delta")
        web.apply(delta)
        web.snapshot()
        stopwatch.lap("follow")
        sent += len(delta)
    begun = time.process_time()
    feeder = ArchiveFeeder(store, settings, "bench")
    while feeder.tick(time.time()):
        pass
    stages["archive"] = time.process_time() - begun
    begun = time.process_time()
    held = worker.dump()
    stages["one checkpoint"] = time.process_time() - begun
    begun = time.process_time()
    LiveSignals.load(held, IdMap())
    stages["load it"] = time.process_time() - begun
    return {**stages, "deltas_mb": sent / 1e6, "checkpoint_mb": len(held) / 1e6}


def measure_reads(settings: Settings, store: RedisStore, *size: int) -> dict[str, float]:
    """Return how long a reader's state takes to be read while another process writes clicks."""
    spawn = multiprocessing.get_context("spawn")
    writer = spawn.Process(target=write_clicks, args=(settings, *size))
    writer.start()
    while writer.is_alive() and not store.stream_ends():
        time.sleep(0.01)
    waits_ms: list[float] = []
    while writer.is_alive():
        begun = time.perf_counter()
        store.read_reader("reader-000000")
        waits_ms.append((time.perf_counter() - begun) * 1e3)
        time.sleep(0.01)
    p50, p90 = np.percentile(waits_ms or [np.nan], [50, 90])
    return {"p50_ms": float(p50), "p90_ms": float(p90), "reads": len(waits_ms)}


def measure_feeds(articles: int, clicks: int, readers: int) -> dict[str, float]:
    """Return what feeds cost before a backfill, and while one goes on."""
    with new_site(articles) as (settings, site), serving(settings, 1, articles):
        feeds = paced(site)
        run_load(settings.port, feeds, concurrency=1, seconds=QUIET_S / 2)
        quiet = run_load(settings.port, feeds, concurrency=1, seconds=QUIET_S)
        begun = time.perf_counter()
        url = EmbeddedStore(settings.data_dir).url
        arguments = (replace(settings, redis_url=url), clicks, readers, articles)
        writer = multiprocessing.get_context("spawn").Process(target=write_clicks, args=arguments)
        writer.start()
        busy: list[Load] = []
        with closing(
            RedisStore(replace(settings, redis_url=url, store_timeout_ms=10_000))
        ) as store:
            ends: dict[int, str] = {}  # of the clicks: the feeds asked for leave records, too
            while not ends or not counts_everything(store, ends):
                busy.append(run_load(settings.port, feeds, concurrency=1, seconds=2.0))
                if not ends and not writer.is_alive():
                    ends = store.stream_ends()
        writer.join()
        took_s = time.perf_counter() - begun
    latencies = [ms for load in busy for ms in load.latencies_ms]
    before, meanwhile = (np.percentile(ms, [50, 99]) for ms in (quiet.latencies_ms, latencies))
    asked = sum(sum(load.statuses.values()) for load in busy)
    return {
        "quiet_p50_ms": float(before[0]),
        "busy_p50_ms": float(meanwhile[0]),
        "p50_ratio": float(meanwhile[0] / before[0]),
        "quiet_p99_ms": float(before[1]),
        "busy_p99_ms": float(meanwhile[1]),
        "quiet_store_ms": waited_ms([quiet]),
        "busy_store_ms": waited_ms(busy),
        "feeds_asked": asked,
        "refused": asked - len(latencies),
        "backfill_s": took_s,
    }


def waited_ms(loads: Sequence[Load]) -> float:
    """Return how long feeds waited for the store: the median of reading and that of writing, ms."""
    stages = ("store_read", "store_write")
    return sum(
        float(np.median([ms for load in loads for ms in load.stages_ms[name]])) for name in stages
    )


def paced(site: Site) -> Iterator[bytes]:
    """Yield feed requests, ten a second."""
    for request in feed_requests(site):
        time.sleep(1 / FEEDS_PER_SECOND)
        yield request


def write_clicks(settings: Settings, clicks: int, readers: int, articles: int) -> None:
    """Write clicks into the store as fast as it takes them."""
    with closing(RedisStore(replace(settings, store_timeout_ms=10_000))) as store:
        events = list(make_clicks(clicks, readers, articles))
        for start in range(0, len(events), WRITTEN_AT_ONCE):
            store.append_events(events[start : start + WRITTEN_AT_ONCE])


def main() -> None:
    """Print the figures, and write them with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=1_000_000, help="clicks (1000000)")
    parser.add_argument("--readers", type=int, default=5_000, help="readers (5000)")
    parser.add_argument("--articles", type=int, default=20_000, help="articles (20000)")
    parser.add_argument(
        "--feeds", type=int, default=300_000, help="clicks while feeds are served; 0: none (300000)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    size = (arguments.readers, arguments.articles)
    figures: dict[str, dict[str, float]] = {}
    if arguments.clicks:
        with new_store() as (settings, store):
            figures["reads while clicks are written"] = measure_reads(
                settings, store, arguments.clicks, *size
            )
        events = list(make_clicks(arguments.clicks, *size))
        with new_store() as (settings, store):
            figures["writing"] = measure_writing(store, events, WRITTEN_AT_ONCE, 0)
            figures["stages, seconds of processor"] = measure_stages(
                replace(settings, data_dir=settings.data_dir / "stages"), store
            )
            figures["worker"] = measure_worker(settings, store, arguments.clicks)
    if arguments.feeds:
        figures["feeds"] = measure_feeds(arguments.articles, arguments.feeds, arguments.readers)
    tell(figures, arguments.json)


if __name__ == "__main__":
    main()
