#!/usr/bin/env python3
"""How soon a web process that was killed is back and ready, in units of its import time alone.

The site has many articles, and a worker's counters of as many clicks as are asked for. Its only web
process is killed; the stopwatch runs until `/readyz` answers with every article again. Beside it
stands a process that imports the same modules and does nothing else.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from feed.config import Settings
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker
from lab.bench.backfill import write_clicks
from lab.bench.service import ENVIRONMENT, Served, ready_articles, serving
from lab.bench.serving import new_site

WEB_IMPORTS = "import gunicorn.app.wsgiapp, feed.service.gunicorn_config, feed.service.app"
PATIENCE_S = 120.0


@click.command()
@click.option("--articles", default=20_000, show_default=True)
@click.option("--readers", default=5_000, show_default=True)
@click.option("--clicks", default=1_000_000, show_default=True)
@click.option("--times", default=5, show_default=True, help="Restarts, of which the median counts.")
def bench_restart(articles: int, readers: int, clicks: int, times: int) -> None:
    """Print the import time, the time to ready, and their ratio."""
    with new_site(articles) as (settings, _):
        count_clicks(settings, clicks, readers, articles)
        with serving(settings, 1, articles) as served:
            seconds = [restart(served, settings.port, articles) for _ in range(times)]
            imports = [import_alone() for _ in range(times)]
    ready_s, import_s = statistics.median(seconds), statistics.median(imports)
    click.echo(f"web process killed to ready  {ready_s:6.2f} s")
    click.echo(f"its imports alone            {import_s:6.2f} s")
    click.echo(f"ratio                        {ready_s / import_s:6.2f}")


def count_clicks(settings: Settings, clicks: int, readers: int, articles: int) -> None:
    """Write clicks into the installation's own store, and count and archive all of them."""
    with EmbeddedStore(settings.data_dir) as server:
        reachable = replace(
            settings, redis_url=server.url, store_timeout_ms=10_000, archive_seconds=0.0
        )
        write_clicks(reachable, clicks, readers, articles)
        with closing(RedisStore(reachable)) as store:
            worker = Worker(store, reachable)
            while worker.tick(time.time()).counted:
                pass
            worker.stop(time.time())


def restart(served: Served, port: int, articles: int) -> float:
    """Kill the web processes; return the seconds until one is ready again."""
    begun = time.perf_counter()
    pids = web_pids(served.process.pid)
    if not pids:
        raise click.ClickException("there is no web process to kill")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    while ready_articles(port) < articles:
        if time.perf_counter() - begun > PATIENCE_S:
            raise click.ClickException("the web process does not come back")
        time.sleep(0.01)
    return time.perf_counter() - begun


def web_pids(ancestor: int) -> list[int]:
    """Return the web processes below a process: the last of their line, their master left out."""
    children = [
        int(pid)
        for thread in Path(f"/proc/{ancestor}/task").glob("*/children")
        for pid in thread.read_text().split()
    ]
    found = [pid for child in children for pid in web_pids(child)]
    command = Path(f"/proc/{ancestor}/cmdline").read_bytes()
    return found or ([ancestor] if b"feed.service.app" in command and not children else [])


def import_alone() -> float:
    """Return how long a new process takes to import what a web process does, seconds."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", WEB_IMPORTS], env=ENVIRONMENT, check=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    bench_restart()
