#!/usr/bin/env python
"""How many machines a site needs: measured here for one feed and one event, then multiplied."""

from __future__ import annotations

import logging
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import click
import orjson
import structlog
from rich.console import Console
from rich.table import Table

from feed.config import Settings
from feed.service.app import create_app
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker
from lab.bench.world import build_site
from lab.faults.installation import raw_store

ARTICLES, READERS, EVENTS_EACH = 2_000, 400, 200
FEEDS, PAGES_OF_FEED, BATCHES = 300, 2, 200
VISITS, EVENTS_PER_VISIT = 5, 25
PEAK = 4.0
KNOWN_PER_DAILY = 3.0
DAYS = 90
BUSY = 0.6
CORES_PER_MACHINE, STORE_GB_PER_NODE, STORE_FILLED = 8, 32.0, 0.5
DAY_S, GB = 86_400, 1e9
GB_MEMORY_PER_CORE, GB_OBJECTS_PER_CORE = 6.0, 1_000.0
SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """What one of each costs: processor seconds and bytes."""

    feed_cpu_s: float
    later_page_cpu_s: float
    event_cpu_s: float
    feed_store_cpu_s: float
    event_store_cpu_s: float
    event_worker_cpu_s: float
    reader_bytes: float
    slate_bytes: float
    event_bytes: float
    archived_event_bytes: float
    archived_feed_bytes: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a number of daily readers needs."""

    readers: int
    feeds_s: float
    events_s: float
    web_cores: int
    web_machines: int
    workers: int
    store_gb: float
    store_primaries: int
    objects_gb: float
    driver: str


def plan(readers: int, unit: UnitCosts) -> Plan:
    """Multiply what one costs by what a number of daily readers does at the busiest time.

    Web machines are at least two, workers two, and every primary of the store has a replica; up to
    one primary there is no cluster.
    """
    visits_s = readers * VISITS / DAY_S * PEAK
    later_s, events_s = visits_s * (PAGES_OF_FEED - 1), visits_s * EVENTS_PER_VISIT
    web = visits_s * unit.feed_cpu_s + later_s * unit.later_page_cpu_s + events_s * unit.event_cpu_s
    web_cores = max(2, ceil(web / BUSY))
    # A worker is one process, and so is a node of the store: each has one core.
    worker = events_s * unit.event_worker_cpu_s
    store_cpu = (visits_s + later_s) * unit.feed_store_cpu_s + events_s * unit.event_store_cpu_s
    events_of_two_days = 2 * readers * VISITS * EVENTS_PER_VISIT
    slates = visits_s * 60 * Settings().slate_ttl_minutes
    store_gb = (
        readers * KNOWN_PER_DAILY * unit.reader_bytes
        + events_of_two_days * unit.event_bytes
        + slates * unit.slate_bytes
    ) / GB
    primaries = max(1, ceil(store_cpu / BUSY), ceil(store_gb / (STORE_GB_PER_NODE * STORE_FILLED)))
    archived = (
        EVENTS_PER_VISIT * unit.archived_event_bytes + PAGES_OF_FEED * unit.archived_feed_bytes
    )
    objects_gb = readers * VISITS * DAYS * archived / GB
    workers = max(2, ceil(worker / BUSY))
    costs = {
        "processors": web_cores + workers + 2 * primaries,
        "store memory": 2 * store_gb / STORE_FILLED / GB_MEMORY_PER_CORE,
        "object storage": objects_gb / GB_OBJECTS_PER_CORE,
    }
    driver = max(costs, key=lambda name: costs[name])
    share = costs[driver] / sum(costs.values())
    return Plan(
        readers=readers, feeds_s=visits_s + later_s, events_s=events_s, web_cores=web_cores,
        web_machines=max(2, ceil(web_cores / CORES_PER_MACHINE)), workers=workers,
        store_gb=store_gb, store_primaries=primaries, objects_gb=objects_gb,
        driver=f"{driver} {share:.0%}",
    )  # fmt: skip


def measure(directory: Path) -> UnitCosts:
    """Build a small site, ask it for feeds and send it events, and return what each cost."""
    with EmbeddedStore(directory) as server:
        settings = replace(
            Settings(), data_dir=directory, redis_url=server.url, encoder="none",
            archive_seconds=0.0, store_timeout_ms=10_000, request_budget_ms=60_000,
        )  # fmt: skip
        with closing(RedisStore(settings)) as store, raw_store(server.url) as raw:
            return _measure(settings, store, raw)


def _measure(settings: Settings, store: RedisStore, raw: Any) -> UnitCosts:
    site = build_site(
        store, settings, articles=ARTICLES, readers=READERS, events_per_reader=EVENTS_EACH
    )
    count = READERS * EVENTS_EACH
    worker = Worker(store, settings)

    def count_all() -> None:
        while worker.tick(time.time()).archived:
            pass

    begun = _own_cpu_s()
    count_all()
    counting_s = (_own_cpu_s() - begun) / count
    worker.stop(time.time())
    seen = _bytes_of(raw, "{feed:p*}:seen:*")
    readers_bytes = _bytes_of(raw, "{feed:p*}:[^l]*") - seen  # all of a reader but the streams
    app = create_app(settings, store)
    app.extensions["feed"].keeper.refresh()
    client = app.test_client()
    cursors = []

    def first_page(n: int) -> None:
        answer = client.get(f"/v1/feed?user_id={site.reader_ids[n % READERS]}")
        page = orjson.loads(answer.data)
        cursors.append((site.reader_ids[n % READERS], page["next_cursor"]))

    def later_page(n: int) -> None:
        reader, cursor = cursors[n]
        client.get(f"/v1/feed?user_id={reader}&cursor={cursor}")

    def send(n: int) -> None:
        events = [
            {"event_id": str(uuid.uuid4()), "user_id": site.reader_ids[n],
             "article_id": site.article_ids[(n + 7 * i) % ARTICLES], "kind": "impression"}
            for i in range(EVENTS_PER_VISIT)
        ]  # fmt: skip
        client.post("/v1/events", json={"events": events})

    for n in range(20):
        first_page(n)
    cursors.clear()
    feed_s, feed_store_s = _costs(raw, first_page, FEEDS)
    slate_bytes = _bytes_of(raw, "{feed:p*}:slate:*") / (FEEDS + 20)
    later_s, _ = _costs(raw, later_page, FEEDS)
    batch_s, batch_store_s = _costs(raw, send, BATCHES)
    archive = settings.data_dir / "archive"
    event_bytes = -_size(archive / "events")
    worker = Worker(store, settings)
    count_all()
    worker.stop(time.time())
    event_bytes += _size(archive / "events")
    served = _size(archive / "served") / (2 * FEEDS + 20)
    return UnitCosts(
        feed_cpu_s=feed_s, later_page_cpu_s=later_s, event_cpu_s=batch_s / EVENTS_PER_VISIT,
        feed_store_cpu_s=feed_store_s, event_store_cpu_s=batch_store_s / EVENTS_PER_VISIT,
        event_worker_cpu_s=counting_s, reader_bytes=readers_bytes / READERS,
        slate_bytes=slate_bytes, event_bytes=seen / count, archived_feed_bytes=served,
        archived_event_bytes=event_bytes / (BATCHES * EVENTS_PER_VISIT),
    )  # fmt: skip


def _costs(raw: Any, act: Callable[[int], None], times: int) -> tuple[float, float]:
    """Return the processor seconds of one act here, and of the store."""
    here, there = _own_cpu_s(), _store_cpu_s(raw)
    for n in range(times):
        act(n)
    return (_own_cpu_s() - here) / times, (_store_cpu_s(raw) - there) / times


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _store_cpu_s(raw: Any) -> float:
    cpu = raw.info("cpu")
    return float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"])


def _bytes_of(raw: Any, pattern: str) -> int:
    keys = list(raw.scan_iter(pattern, count=1000))
    return sum(raw.execute_command("MEMORY USAGE", key, "SAMPLES", 0) for key in keys)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*.parquet"))


def describe(unit: UnitCosts) -> Table:
    """Return what one of each costs."""
    table = Table(title="What one costs here")
    for heading in ("what", "web, ms", "store, ms", "worker, ms", "store, bytes", "archive, bytes"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    rows: list[tuple[str, Sequence[float]]] = [
        (
            "first page",
            (
                unit.feed_cpu_s,
                unit.feed_store_cpu_s,
                0,
                unit.slate_bytes,
                unit.archived_feed_bytes,
            ),
        ),
        ("later page", (unit.later_page_cpu_s, 0, 0, 0, unit.archived_feed_bytes)),
        (
            "event",
            (
                unit.event_cpu_s,
                unit.event_store_cpu_s,
                unit.event_worker_cpu_s,
                unit.event_bytes,
                unit.archived_event_bytes,
            ),
        ),
        (f"reader with {EVENTS_EACH} events", (0, 0, 0, unit.reader_bytes, 0)),
    ]
    for what, (web, store, worker, kept, archived) in rows:
        times = (f"{1e3 * seconds:.3f}" if seconds else "" for seconds in (web, store, worker))
        sizes = (f"{size:,.0f}" if size else "" for size in (kept, archived))
        table.add_row(what, *times, *sizes)
    return table


def render(plans: list[Plan]) -> Table:
    """Return the table, one line for each number of daily readers."""
    table = Table(title="Capacity")
    for heading in (
        "daily readers", "pages a second", "events a second", "web cores", "web machines",
        "workers", "store, GB", "store primaries, each with a replica", "objects, GB",
        "largest cost",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for p in plans:
        table.add_row(
            f"{p.readers:,}", f"{p.feeds_s:,.0f}", f"{p.events_s:,.0f}", f"{p.web_cores:,}",
            f"{p.web_machines:,}", f"{p.workers:,}", f"{p.store_gb:,.1f}",
            f"{p.store_primaries:,}", f"{p.objects_gb:,.0f}", p.driver,
        )  # fmt: skip
    return table


@click.command()
def main() -> None:
    """Measure what a feed, an event and a reader cost here; print what sites of all sizes need."""
    with tempfile.TemporaryDirectory(prefix="feed-capacity-") as directory:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        unit = measure(Path(directory))
    console = Console(width=170)
    console.print(describe(unit))
    console.print(render([plan(readers, unit) for readers in SIZES]))


if __name__ == "__main__":
    main()
