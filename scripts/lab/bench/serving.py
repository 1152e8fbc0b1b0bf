#!/usr/bin/env python3
"""How fast the service answers over HTTP on this machine, beside what the machine itself allows.

Synthetic sites (articles with 512-dimensional vectors and texts of 2,000 characters, a model
with a learned ranker, readers with 200 events) are served by `feed serve` on loopback, store and
worker included. Beside every figure stands the floor measured in the same run: an empty Flask
answer with the same JSON, one store round trip, the bare dot product.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from feed.config import Settings
from feed.storage.embedded import EmbeddedStore
from lab.bench.busy_site import measure_busy_site
from lab.bench.limits import measure_floors
from lab.bench.load import Load, run_load
from lab.bench.rows import Row, show
from lab.bench.service import (
    BATCH,
    WHOLE_FEED,
    event_requests,
    feed_requests,
    measure_second_page,
    prepare,
    serving,
)
from lab.bench.worker import measure_everything
from lab.bench.world import Site, write_known_readers
from lab.ports import free_port

KNOWN_READERS = (1_000, 100_000, 1_000_000)
GENERATOR = (
    "generator: share of one core the load generator used; below 100 % it had time to wait, and "
    "the same generator drove the floors."
)
WORKER_EVENTS, WORKER_SERVED = 200_000, 5_000


@click.command()
@click.option("--articles", default=20_000, show_default=True, help="Live articles of the site.")
@click.option("--many", default=100_000, show_default=True, help="Of the large site; 0: leave out.")
@click.option("--seconds", default=8.0, show_default=True, help="Of each measurement.")
@click.option("--busy/--no-busy", default=True, help="The site of a million events.")
@click.option("--readers/--no-readers", default=True, help="Cost against known readers.")
@click.option("--worker/--no-worker", default=True, help="From stream to counters and archive.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    *,
    articles: int,
    many: int,
    seconds: float,
    busy: bool,
    readers: bool,
    worker: bool,
    json_path: Path | None,
) -> None:
    """Measure feeds, events, the worker, memory and starts; print one table."""
    rows, remarks = measure_site(articles, seconds, KNOWN_READERS if readers else ())
    if many:
        rows += measure_large_site(many, seconds)
    if busy:
        of_busy_site, said = measure_busy_site()
        rows, remarks = rows + of_busy_site, remarks + said
    if worker:
        rows += measure_worker_rate()
    show(Console(width=170), rows, remarks)
    if json_path:
        figures = {"cores": os.cpu_count(), "rows": [asdict(row) for row in rows]}
        json_path.write_bytes(
            orjson.dumps({**figures, "remarks": remarks}, option=orjson.OPT_INDENT_2)
        )


def measure_site(
    articles: int, seconds: float, known: tuple[int, ...]
) -> tuple[list[Row], list[str]]:
    """Return the lines of a site of so many articles, and what else there is to say."""
    with new_site(articles) as (settings, site):
        with serving(settings, 1, articles) as process:
            started_s, cpu_s = process.ready_s, process.ready_cpu_s
            feeds = measure_feeds(settings, site, seconds)
            second = measure_second_page(settings.port, site, seconds)
            memory_mb = process.web_memory_mb()
        with serving(settings, 2, articles):
            many = measure_feeds(settings, site, seconds, concurrency=8)
            events = run_load(
                settings.port, event_requests(site), concurrency=4, seconds=seconds, expected=202
            )
        floors = measure_floors(settings, feeds.last_body, articles, seconds / 2)
        against = measure_known_readers(settings, site, articles, seconds, known) if known else []
    one, two = floors["empty answer, 1 at once"], floors["empty answer, 8 at once"]
    trip, dot = floors["store round trip"], floors["dot product"]
    empty = f"{one['p50_ms']:.2f} ms empty answer"
    least = f"{empty}, {trip['p50_ms']:.2f} round trip, {dot['p50_ms']:.2f} dot"
    rows = [
        Row.of("feed, one at a time, 1 web", feeds, "p50 6 ms, p99 15 (reach 3, 8)", least),
        Row.of(
            "feed, 8 at once, 2 web",
            many,
            "350/s, p99 60 ms (reach 800/s)",
            f"{two['per_second']:,.0f}/s empty answers",
        ),
        Row.of("page 2 by cursor, 1 web", second, "p50 2 ms (reach 1)", empty),
        Row.of(
            f"events, batches of {BATCH}, 2 web",
            events,
            "10,000/s (reach 30,000)",
            f"{BATCH * two['per_second']:,.0f}/s empty answers",
            each=BATCH,
        ),
        *against,
        Row(f"web process at {articles:,}", other=f"{memory_mb:.0f} MB"),
        Row(
            f"start to ready at {articles:,}",
            other=f"{started_s:.1f} s ({cpu_s:.1f} s of processor)",
            must="3 s (reach 1)",
        ),
    ]
    return rows, [
        f"{articles:,} articles, {os.cpu_count()} cores, {len(feeds.last_body):,} bytes a feed.",
        stages_line(feeds),
        GENERATOR,
    ]


def measure_large_site(articles: int, seconds: float) -> list[Row]:
    """Return the lines of a large site: one feed at a time, memory, start."""
    with new_site(articles) as (settings, site), serving(settings, 1, articles) as process:
        feeds = measure_feeds(settings, site, seconds)
        memory_mb = process.web_memory_mb()
        started = f"{process.ready_s:.1f} s ({process.ready_cpu_s:.1f} s of processor)"
    return [
        Row.of(f"feed at {articles:,} articles, 1 web", feeds, "p50 12 ms (reach 6)"),
        Row(f"web process at {articles:,}", other=f"{memory_mb:.0f} MB", must="600 MB (reach 300)"),
        Row(f"start to ready at {articles:,}", other=started),
    ]


def measure_known_readers(
    settings: Settings, site: Site, articles: int, seconds: float, known: tuple[int, ...]
) -> list[Row]:
    """Return the cost of the same readers' feeds while the store comes to know ever more."""
    rows, there = [], 0
    url = EmbeddedStore(settings.data_dir).url
    with serving(settings, 1, articles):
        for count in known:
            write_known_readers(url, settings, there, count)
            there = count
            load = measure_feeds(settings, site, seconds)
            rows.append(Row.of(f"feed, {count:,} known readers, 1 web", load, "p50 within 10 %"))
    return rows


def measure_worker_rate() -> list[Row]:
    """Return the worker's rates, and what one served feed costs it."""
    figures = measure_everything(WORKER_EVENTS, WORKER_SERVED)
    events, served = figures["worker"], figures["served"]
    return [
        Row(
            "worker, stream to counters and archive",
            per_second=events["events_per_second"],
            other=f"{events['worker_us_per_event']:.0f} us an event",
            must="20,000/s (reach 60,000)",
        ),
        Row(
            "worker, served feeds of 20 slots",
            per_second=served["served_per_second"],
            other=f"{served['worker_us_per_served']:.0f} us a feed",
        ),
    ]


@contextmanager
def new_site(articles: int) -> Iterator[tuple[Settings, Site]]:
    """Give a site in a directory of its own, and remove it afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="feed-bench-"))
    try:
        settings = replace(Settings(), data_dir=directory, port=free_port())
        yield settings, prepare(settings, articles)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure_feeds(settings: Settings, site: Site, seconds: float, concurrency: int = 1) -> Load:
    """Ask for feeds for some seconds, after half as many to warm up."""
    for duration in (seconds / 2, seconds):
        load = run_load(
            settings.port,
            feed_requests(site),
            concurrency=concurrency,
            seconds=duration,
            proof=WHOLE_FEED,
        )
    return load


def stages_line(feeds: Load) -> str:
    """Return where the time of a feed goes within the service."""
    stages: dict[str, Any] = feeds.stages()
    total = stages.pop("total")
    share = ", ".join(
        f"{name} {ms:.2f}" for name, ms in sorted(stages.items(), key=lambda item: -item[1])
    )
    return f"In the service, median ms of a feed: total {total:.2f}: {share}."


if __name__ == "__main__":
    main()
