#!/usr/bin/env python3
"""How fast and how heavy an installation is on a busy site, in units of an empty answer.

The site has 20,000 articles with vectors, 5,000 readers with 200 events each (a million in all),
and a learned ranker. The service and a Flask application that answers the same bytes without any
work run side by side and are asked in turns, so a slow spell of the machine meets both alike.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from feed.config import Settings
from feed.storage.embedded import EmbeddedStore
from lab.bench.installed import path_without_extras
from lab.bench.limits import empty_flask
from lab.bench.load import Load, get, run_load
from lab.bench.rows import Row, show
from lab.bench.service import ENVIRONMENT, Served, prepare, ready_articles, serving
from lab.ports import free_port

ARTICLES = 20_000
READERS = 5_000
TURNS = 12
TURN_S = {1: 1.0, 8: 1.0, 80: 4.0}
"""Seconds of a turn by clients at once: 80 of them wait for a second, and must all come often."""
RESTARTS = 3
WHAT_A_WEB_PROCESS_IMPORTS = "import gunicorn.app.wsgiapp, feed.service.app"


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Keep the site in this directory, and use it again if it is there.",
)
@click.option("--speed", is_flag=True, help="Let feed use the extra speed, which must be there.")
def main(data: Path | None, *, speed: bool) -> None:
    """Measure feeds, overload, memory and restarts of a busy site; print one table."""
    if speed:
        ENVIRONMENT["PYTHONPATH"] = path_without_extras("numba", "llvmlite")
    rows, remarks = measure_busy_site(data)
    show(Console(width=170), rows, remarks)


def measure_busy_site(data: Path | None = None) -> tuple[list[Row], list[str]]:
    """Return the lines of the busy site, and what else there is to say."""
    with busy_site(data) as settings, serving(settings, 2, ARTICLES) as served:
        rates = compare(settings)
        sizes = memory_mb(served)
        start_s, import_s = measure_restart(settings)
    whole = sum(sum(of_one) for of_one in sizes.values())
    each = "; ".join(f"{name} {' + '.join(f'{s:.0f}' for s in of)}" for name, of in sizes.items())
    rows = [
        Row(
            f"feed at {wanted} at once, 2 web",
            per_second=rates[wanted][0],
            other=f"{rates[wanted][1] / rates[wanted][0]:.1f} empty answers a feed",
            floor=f"{rates[wanted][1]:,.0f}/s empty answers",
            must=must,
        )
        for wanted, must in ((1, "12 (reach 9)"), (8, "14 (reach 10)"))
    ]
    rows += [
        Row(
            "feeds at 80 at once against 8 at once",
            per_second=rates[80][0],
            other=f"{rates[80][0] / rates[8][0]:.2f} of the rate; {rates[80][2]:.0%} refused",
            must="0.9 (reach 1)",
        ),
        Row("memory of the installation", other=f"{whole:.0f} MB", must="1,000 MB (reach 700)"),
        Row(
            "start of a web process to ready",
            other=f"{start_s / import_s:.1f} times its import ({start_s:.1f} s, {import_s:.1f} s)",
            must="3 (reach 1.5)",
        ),
    ]
    return rows, [f"Memory in MB, shared pages counted once: {each}."]


@contextmanager
def busy_site(data: Path | None) -> Iterator[Settings]:
    """Give the busy site, made now unless `data` holds it; removed afterwards without `data`."""
    directory = data or Path(tempfile.mkdtemp(prefix="feed-bench-"))
    settings = replace(Settings(), data_dir=directory, port=free_port(), encoder="none")
    try:
        if not (directory / "models").exists():
            prepare(settings, ARTICLES, READERS)
        yield settings
    finally:
        if data is None:
            shutil.rmtree(directory, ignore_errors=True)


def compare(settings: Settings) -> dict[int, tuple[float, float, float]]:
    """Return feeds a second, empty answers a second, and the share refused, by clients at once.

    Medians of turns; with one client at once, the rates are those of the median answer.
    """
    answer = settings.data_dir / "answer.json"
    answer.write_bytes(run_load(settings.port, _feeds(), concurrency=1, seconds=1.0).last_body)
    empty_port = free_port()
    found: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    with empty_flask(empty_port, answer, 2):
        feeds, empty = _feeds(), itertools.repeat(get("/"))
        for turn, at_once in itertools.product(range(TURNS), TURN_S):
            feed = run_load(settings.port, feeds, concurrency=at_once, seconds=TURN_S[at_once])
            floor = run_load(empty_port, empty, concurrency=at_once, seconds=TURN_S[1] / 2)
            if turn:  # the first one warms up
                refused = feed.summary()["other_answers"] / sum(feed.statuses.values())
                found[at_once].append((_rate(feed, at_once), _rate(floor, at_once), refused))
    return {at_once: tuple(np.median(of, axis=0).tolist()) for at_once, of in found.items()}


def _rate(load: Load, at_once: int) -> float:
    figures = load.summary()
    return 1e3 / figures["p50_ms"] if at_once == 1 else figures["per_second"]


def _feeds() -> Iterator[bytes]:
    order = np.random.default_rng(1).permutation(READERS).tolist()
    return itertools.cycle([get(f"/v1/feed?user_id=reader-{n:06d}&limit=20") for n in order])


def memory_mb(served: Served) -> dict[str, list[float]]:
    """Return the memory of every process of an installation by what it does, MB.

    A page that several processes share counts for each by its part (the kernel's PSS).
    """
    sizes: dict[str, list[float]] = defaultdict(list)
    for process in sorted(served.processes(), key=lambda path: int(path.name)):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            kilobytes = (process / "smaps_rollup").read_text().split("\nPss:")[1].split()[0]
            sizes[_role(command)].append(int(kilobytes) / 1024)
    return sizes


def _role(command: bytes) -> str:
    for role, mark in (("store", b"valkey"), ("web", b"gunicorn"), ("worker", b"worker")):
        if mark in command:
            return role
    return "supervisor"


def measure_restart(settings: Settings) -> tuple[float, float]:
    """Return how long one more web process takes to be ready, and its import alone, seconds."""
    url = EmbeddedStore(settings.data_dir).url
    environment = {
        **ENVIRONMENT,
        "FEED_REDIS_URL": url,
        "FEED_DATA": str(settings.data_dir),
        "FEED_ENCODER": "none",
        "FEED_LOG_LEVEL": "error",
    }
    starts, imports = [], []
    for _ in range(RESTARTS):
        port = free_port()
        command = [sys.executable, "-m", "feed", "serve", "--web", "1", "--port", str(port)]
        command += ["--data", str(settings.data_dir)]
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            while ready_articles(port) < ARTICLES and time.perf_counter() - begun < 120:
                time.sleep(0.02)
            starts.append(time.perf_counter() - begun)
        finally:
            process.terminate()
            process.wait(60)
        begun = time.perf_counter()
        code = [sys.executable, "-c", WHAT_A_WEB_PROCESS_IMPORTS]
        subprocess.run(code, env=ENVIRONMENT, check=True)
        imports.append(time.perf_counter() - begun)
    return float(np.median(starts)), float(np.median(imports))


if __name__ == "__main__":
    main()
