"""A synthetic site served by `feed serve`, for benchmarks, and the requests it is measured with."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import orjson

from feed.config import Settings
from feed.domain import format_time
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker
from lab.bench.installed import path_without_extras
from lab.bench.load import Load, get, post, run_load
from lab.bench.world import Site, build_site

BATCH = 50
READERS = 300
EVENTS_PER_READER = 200
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "feed-bench-bytecode"),
    "PYTHONPATH": path_without_extras(),
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""Modules are compiled once, and those of the lock are there, as an installation has them: half of
a start would be compiling."""

WHAT_STARTS = "import feed.cli, feed.commands.serve, feed.commands.worker, gunicorn.app.wsgiapp"


def prepare(settings: Settings, articles: int, readers: int = READERS) -> Site:
    """Write the synthetic site into the data directory's own store, counted and archived."""
    imports = f"{WHAT_STARTS}, feed.service.gunicorn_config, feed.service.app"
    subprocess.run([sys.executable, "-c", imports], env=ENVIRONMENT, check=True)
    with EmbeddedStore(settings.data_dir) as server:
        reachable = replace(
            settings, redis_url=server.url, store_timeout_ms=10_000, archive_seconds=0.0
        )
        store = RedisStore(reachable)
        site = build_site(
            store,
            reachable,
            articles=articles,
            readers=readers,
            events_per_reader=EVENTS_PER_READER,
        )
        worker = Worker(store, reachable)
        while worker.tick(time.time()).archived:
            pass
        worker.stop(time.time())
        store.close()
    return site


class Served:
    """A running `feed serve`."""

    def __init__(self, process: subprocess.Popen[bytes], ready_s: float) -> None:
        self.process = process
        self.ready_s = ready_s
        self.ready_cpu_s = self._web_cpu_s()

    def web_memory_mb(self) -> float:
        """Return the largest resident set of a web process, MB."""
        sizes = [0.0]
        for process in self._web_processes():
            with suppress(OSError):
                text = (process / "status").read_text()
                sizes.append(int(text.split("VmRSS:")[1].split()[0]) / 1024)
        return max(sizes)

    def _web_cpu_s(self) -> float:
        """Return the processor time of the web processes and their master, seconds."""
        ticks = 0
        for process in self._web_processes():
            with suppress(OSError):
                fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def processes(self) -> Iterator[Path]:
        """Yield the directory of every process of the installation in /proc."""
        for process in Path("/proc").glob("[0-9]*"):
            if self._is_ours(int(process.name)):
                yield process

    def _web_processes(self) -> Iterator[Path]:
        for process in self.processes():
            with suppress(OSError):
                if b"feed.service.app" in (process / "cmdline").read_bytes():
                    yield process

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
    return run_load(port, second, concurrency=1, seconds=seconds, proof=(b'"position":39',))


WHOLE_FEED = (b'"mode_served":"personalized"', b'"position":19')
"""What stands in a feed of 20 articles that was made for its reader."""


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
