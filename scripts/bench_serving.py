#!/usr/bin/env python3
"""How fast the service answers over HTTP on this machine, beside what the machine itself allows.

A synthetic site (articles with 512-dimensional vectors and texts of 2,000 characters, a model
with a learned ranker, readers with 200 events) is served by `feed serve` on loopback, store and
worker included. Every figure is printed with the floors measured in the same run: an empty
Flask answer with the same JSON, one store round trip, the bare dot product.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
from bench_load import Load, get, post, run_load
from bench_world import REDUCED, Site, build_site
from rich.console import Console
from rich.table import Table

from feed.config import Settings
from feed.domain import format_time
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore

BATCH = 50
READERS = 300
EVENTS_PER_READER = 200
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
TARGETS = {
    "feed, one at a time, 1 web": "p50 6 ms, p99 15 ms (reach 3 / 8)",
    "feed, 8 at once, 2 web": "350/s, p99 60 ms (reach 800/s)",
    "page 2 by cursor, 1 web": "p50 2 ms (reach 1)",
    f"events in batches of {BATCH}, 2 web": "10,000 events/s (reach 30,000)",
}


@click.command()
@click.option("--articles", type=int, multiple=True, default=(2_000, 20_000), show_default=True)
@click.option("--seconds", type=float, default=8.0, show_default=True, help="Of each measurement.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(articles: tuple[int, ...], seconds: float, json_path: Path | None) -> None:
    """Measure GET /v1/feed, its second page and POST /v1/events."""
    console = Console(width=150)
    results = []
    for count in articles:
        result = measure_site(count, seconds)
        results.append(result)
        show(console, result)
    if json_path:
        json_path.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def measure_site(articles: int, seconds: float) -> dict[str, Any]:
    """Serve a site of so many articles and measure everything about it."""
    directory = Path(tempfile.mkdtemp(prefix="feed-bench-"))
    settings = replace(Settings(), data_dir=directory, port=free_port())
    measures: dict[str, Any] = {}
    try:
        site = prepare(settings, articles)
        with serving(settings, 1, articles) as process:
            started_s = process.ready_s
            feeds = run_load(settings.port, feed_requests(site), concurrency=1, seconds=seconds / 2)
            feeds = run_load(settings.port, feed_requests(site), concurrency=1, seconds=seconds)
            measures["feed, one at a time, 1 web"] = feeds
            measures["page 2 by cursor, 1 web"] = measure_second_page(settings.port, site, seconds)
            memory_mb = process.web_memory_mb()
        with serving(settings, 2, articles):
            run_load(settings.port, feed_requests(site), concurrency=8, seconds=seconds / 2)
            measures["feed, 8 at once, 2 web"] = run_load(
                settings.port, feed_requests(site), concurrency=8, seconds=seconds
            )
            measures[f"events in batches of {BATCH}, 2 web"] = run_load(
                settings.port, event_requests(site), concurrency=4, seconds=seconds, expected=202
            )
        floors = measure_floors(settings, feeds.last_body, articles, seconds / 2)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return {
        "articles": articles,
        "cores": os.cpu_count(),
        "start_to_ready_s": started_s,
        "web_process_memory_mb": memory_mb,
        "answer_bytes": len(feeds.last_body),
        "measures": {name: load.summary() for name, load in measures.items()},
        "stages_p50_ms": feeds.stages(),
        "floors": floors,
    }


def prepare(settings: Settings, articles: int) -> Site:
    """Write the synthetic site into the data directory's own store."""
    with EmbeddedStore(settings.data_dir) as server:
        reachable = replace(settings, redis_url=server.url, store_timeout_ms=10_000)
        store = RedisStore(reachable)
        site = build_site(
            store,
            reachable,
            articles=articles,
            readers=READERS,
            events_per_reader=EVENTS_PER_READER,
        )
        store.close()
    return site


class Served:
    """A running `feed serve`."""

    def __init__(self, process: subprocess.Popen[bytes], ready_s: float) -> None:
        self.process = process
        self.ready_s = ready_s

    def web_memory_mb(self) -> float:
        """Return the largest resident set of a web process, MB."""
        sizes = [0.0]
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text()
                command = (status.parent / "cmdline").read_bytes()
            except OSError:
                continue
            parent = int(text.split("PPid:")[1].split()[0])
            if b"feed.service.app" in command and self._is_ours(parent):
                sizes.append(int(text.split("VmRSS:")[1].split()[0]) / 1024)
        return max(sizes)

    def _is_ours(self, pid: int) -> bool:
        while pid > 1:
            if pid == self.process.pid:
                return True
            try:
                pid = int(Path(f"/proc/{pid}/status").read_text().split("PPid:")[1].split()[0])
            except OSError:
                return False
        return False


@contextmanager
def serving(settings: Settings, web: int, articles: int) -> Iterator[Served]:
    """Run `feed serve` until the block ends; begins when every article and event is in."""
    command = [sys.executable, "-m", "feed", "serve", "--data", str(settings.data_dir)]
    command += ["--port", str(settings.port), "--web", str(web)]
    environment = {**ENVIRONMENT, "FEED_ENCODER": "none", "FEED_LOG_LEVEL": "error"}
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while ready_articles(settings.port) < articles:
            if process.poll() is not None or time.perf_counter() - begun > 120:
                raise click.ClickException("the service does not start")
            time.sleep(0.02)
        ready_s = time.perf_counter() - begun
        wait_for_the_worker(settings)
        yield Served(process, ready_s)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def ready_articles(port: int) -> int:
    """Return how many articles the service has, -1 while it is not ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return int(orjson.loads(answer.read())["articles"])
    except OSError:
        return -1


def wait_for_the_worker(settings: Settings) -> None:
    """Return when the streams are archived and trimmed."""
    url = EmbeddedStore(settings.data_dir).url
    store = RedisStore(replace(settings, redis_url=url, store_timeout_ms=10_000))
    deadline = time.monotonic() + 180
    while any(store.stream_length(p) for p in range(store.partitions)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    store.close()
    time.sleep(1.0)


def measure_second_page(port: int, site: Site, seconds: float) -> Load:
    """Ask for first pages, then for the pages behind their cursors."""
    cursors: list[tuple[str, str]] = []
    readers = itertools.cycle(site.reader_ids)
    asked: list[str] = []

    def first() -> Iterator[bytes]:
        for reader in readers:
            asked.append(reader)
            yield get(f"/v1/feed?user_id={reader}&limit=20")

    def keep(body: bytes) -> None:
        cursors.append((asked[len(cursors)], orjson.loads(body)["next_cursor"]))

    run_load(port, first(), concurrency=1, seconds=seconds / 2, on_answer=keep)
    newest = dict(cursors)
    second = itertools.cycle(
        [get(f"/v1/feed?user_id={r}&limit=20&cursor={c}") for r, c in newest.items()]
    )
    return run_load(port, second, concurrency=1, seconds=seconds)


def feed_requests(site: Site) -> Iterator[bytes]:
    """Yield feed requests of readers in random order."""
    rng = np.random.default_rng(1)
    while True:
        for row in rng.permutation(len(site.reader_ids)).tolist():
            yield get(f"/v1/feed?user_id={site.reader_ids[row]}&limit=20")


def event_requests(site: Site) -> Iterator[bytes]:
    """Yield batches of new events, impressions and clicks of many readers."""
    rng = np.random.default_rng(2)
    while True:
        moment = format_time(time.time())
        articles = rng.integers(0, len(site.article_ids), BATCH).tolist()
        readers = rng.integers(0, 100_000, BATCH).tolist()
        events = [
            {
                "event_id": uuid.uuid4().hex,
                "user_id": f"visitor-{reader}",
                "article_id": site.article_ids[article],
                "kind": "click" if number % 5 == 0 else "impression",
                "occurred_at": moment,
                "position": number,
                "context": {"device": "mobile"},
            }
            for number, (article, reader) in enumerate(zip(articles, readers, strict=True))
        ]
        yield post("/v1/events", orjson.dumps({"events": events}))


def measure_floors(
    settings: Settings, body: bytes, articles: int, seconds: float
) -> dict[str, float]:
    """Return what this machine allows: same JSON without work, a round trip, a dot product."""
    floors: dict[str, float] = {}
    answer = settings.data_dir / "answer.json"
    answer.write_bytes(body)
    for web, concurrency in ((1, 1), (2, 8)):
        with empty_flask(settings.port, answer, web):
            load = run_load(
                settings.port,
                itertools.repeat(get("/")),
                concurrency=concurrency,
                seconds=seconds,
            ).summary()
        name = f"empty Flask answer, {concurrency} at once, {web} web"
        floors[f"{name}: p50 ms"] = load["p50_ms"]
        floors[f"{name}: per second"] = load["per_second"]
    with EmbeddedStore(settings.data_dir) as server:
        store = RedisStore(replace(settings, redis_url=server.url))
        floors["one store round trip: p50 ms"] = median_ms(store.catalogue_position)
        store.close()
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((articles, REDUCED)).astype(np.float32)
    vector = matrix[0].copy()
    floors[f"dot product {articles} x {REDUCED}: p50 ms"] = median_ms(lambda: matrix @ vector)
    return floors


@contextmanager
def empty_flask(port: int, answer: Path, web: int) -> Iterator[None]:
    """Serve one file's bytes from Flask, under the same gunicorn settings."""
    command = [sys.executable, "-m", "gunicorn", "--config", "python:feed.service.gunicorn_config"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(web), "bench_floor:application"]
    environment = {**ENVIRONMENT, "BENCH_ANSWER": str(answer)}
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


def median_ms(call: Any, times: int = 300) -> float:
    """Return the median milliseconds of a call."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken)) * 1e3


def show(console: Console, result: dict[str, Any]) -> None:
    """Print one site's figures."""
    table = Table(title=f"{result['articles']:,} live articles, {result['cores']} cores")
    for column in (
        "what",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "per second",
        "other",
        "generator",
        "must",
    ):
        table.add_column(column, justify="left" if column in {"what", "must"} else "right")
    for name, figures in result["measures"].items():
        rate = figures["per_second"] * (BATCH if name.startswith("events") else 1)
        table.add_row(
            name,
            *(f"{figures[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms")),
            f"{rate:,.0f}",
            f"{figures['other_answers']:.0f}",
            f"{figures['generator_core_share']:.0%}",
            TARGETS.get(name, ""),
        )
    console.print(table)
    stages = dict(result["stages_p50_ms"])
    total = stages.pop("total")
    share = ", ".join(
        f"{name} {ms:.2f} ({ms / total:.0%})"
        for name, ms in sorted(stages.items(), key=lambda item: -item[1])
    )
    console.print(f"In the service, median ms of a feed: total {total:.2f}: {share}")
    for name, value in result["floors"].items():
        console.print(f"Floor: {name} {value:,.3f}")
    console.print(
        f"Start to ready {result['start_to_ready_s']:.1f} s, web process "
        f"{result['web_process_memory_mb']:.0f} MB, answer {result['answer_bytes']:,} bytes. "
        "`generator`: share of one core the load generator used; below 100 % it had time to wait, "
        "and the same generator drove the floors.\n"
    )


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
