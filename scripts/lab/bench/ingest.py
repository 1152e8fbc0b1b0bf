#!/usr/bin/env python3
"""Times the first load of a large feed: `feed ingest` into a fresh `feed serve`.

Beside it stands the encoder alone: a process for each core, which encodes a part of the same texts
and does nothing else. On a machine that is busy with other things the processor seconds say more:
what all processes took until every vector was there, beside what the encoder took.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import cache
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from feed.config import Settings
from feed.features.embeddings import SentenceEncoder, article_text
from feed.ingest.reading import read_documents
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from lab.bench.service import ENVIRONMENT, Served, ready_articles
from lab.bench.worker import cpu_seconds
from lab.ports import free_port

PARTS = ("ka", "ro", "mi", "ten", "lo", "sa", "ver", "dun", "pi", "hol")
ROLES = {
    b"feed worker": "worker",
    b"spawn_main": "encoder beside it",
    b"serve_web": "web",
    b"valkey": "store",
    b"feed serve": "serve",
}
"""What a process is, by what its command line has."""
POLL_S = 0.2
MOST_S = 900.0


def write_feed(path: Path, entries: int, sections: int, seed: int = 5) -> None:
    """Write an RSS feed of drawn words, the newest entry first."""
    chance = random.Random(seed)  # noqa: S311 - texts, not secrets
    words = ["".join(chance.choices(PARTS, k=chance.randint(1, 4))) for _ in range(4_000)]
    now = time.time()
    items = [
        f"<item><title>{' '.join(chance.choices(words, k=9))}</title>"
        f"<link>https://big.example/{n}</link><guid>https://big.example/{n}</guid>"
        f"<pubDate>{formatdate(now - 60 * n)}</pubDate><category>Section {n % sections}</category>"
        f"<description>{' '.join(chance.choices(words, k=25))}</description></item>"
        for n in range(entries)
    ]
    path.write_text(
        '<rss version="2.0"><channel><title>Big</title><link>https://big.example/</link>'
        f"<language>en</language>{''.join(items)}</channel></rss>"
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load.

    Attributes:
        loaded_s: Until `feed ingest` had sent everything, seconds.
        encoded_s: Until every vector was there, seconds.
        cpu_s: Processor seconds until then, by what a process is.
    """

    loaded_s: float
    encoded_s: float
    cpu_s: dict[str, float]


def load(feed: Path, data_dir: Path, encoder: str) -> Loaded:
    """Load a feed into a fresh installation."""
    port = free_port()
    environment = {**ENVIRONMENT, "FEED_ENCODER": encoder, "FEED_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "feed"]
    serve = [*command, "serve", "--data", str(data_dir), "--port", str(port)]
    process = subprocess.Popen(serve, env=environment, stdout=subprocess.DEVNULL)
    try:
        while ready_articles(port) < 0:
            if process.poll() is not None:
                raise click.ClickException("the service does not start")
            time.sleep(POLL_S)
        before, reaped_s = cpu_by_role(process), _reaped_s()
        begun = time.perf_counter()
        ingest = [*command, "ingest", str(feed), "--url", f"http://127.0.0.1:{port}"]
        subprocess.run(ingest, env=environment, check=True, capture_output=True)
        loaded_s, client_s = time.perf_counter() - begun, _reaped_s() - reaped_s
        address = EmbeddedStore(data_dir).url
        with closing(RedisStore(replace(Settings(), redis_url=address))) as store:
            while store.unencoded_articles(1):
                if time.perf_counter() - begun > MOST_S:
                    raise click.ClickException("the vectors do not come")
                time.sleep(POLL_S)
        encoded_s = time.perf_counter() - begun
        after = cpu_by_role(process)
        cpu_s = {role: after[role] - before.get(role, 0.0) for role in sorted(after)}
        return Loaded(loaded_s, encoded_s, {"feed ingest": client_s, **cpu_s})
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def cpu_by_role(serve: subprocess.Popen[bytes]) -> Mapping[str, float]:
    """Return the processor seconds of the processes of `feed serve` so far, by what they are."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for process in Served(serve, 0.0).processes():
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
            role = next((name for mark, name in ROLES.items() if mark in command), "the rest")
            seconds[role] += cpu_seconds(int(process.name))
    return seconds


def _reaped_s() -> float:
    """Return the processor seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def encoder_alone(texts: list[str]) -> tuple[float, float]:
    """Return the seconds in which a process for each core encodes a part of the texts each.

    The second number is the processor seconds of all of them.
    """
    cores = os.cpu_count() or 1
    chance = random.Random(1)  # noqa: S311 - an order, not a secret
    mixed = chance.sample(texts, len(texts))
    parts = [mixed[number::cores] for number in range(cores)]
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.map(_encode, [part[:2] for part in parts], chunksize=1)  # loads the weights
        begun = time.perf_counter()
        used_s = pool.map(_encode, parts, chunksize=1)
        return time.perf_counter() - begun, sum(used_s)


def _encode(texts: list[str]) -> float:
    begun = time.process_time()
    _encoder().encode(texts)
    return time.process_time() - begun


@cache
def _encoder() -> SentenceEncoder:
    return SentenceEncoder(threads=1)


@click.command()
@click.option("--entries", default=1_500, show_default=True)
@click.option("--sections", default=700, show_default=True)
def main(entries: int, sections: int) -> None:
    """Print the seconds of a load with the default encoder and without one."""
    table = Table("encoder", "load, s", "until every vector is there, s", "processor, s")
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "feed.xml"
        write_feed(feed, entries, sections)
        documents = read_documents(str(feed), None, time.time())
        alone_s, alone_cpu_s = encoder_alone([article_text(one) for one in documents.articles])
        loads = {}
        for encoder in (Settings().encoder, "none"):
            loads[encoder] = one = load(feed, Path(folder) / encoder, encoder)
            cpu_s = f"{sum(one.cpu_s.values()):.1f}"
            table.add_row(encoder, f"{one.loaded_s:.1f}", f"{one.encoded_s:.1f}", cpu_s)
    alone = (f"{alone_s:.1f}", f"{alone_cpu_s:.1f}")
    table.add_row("alone, a process for each core", "", *alone)
    console = Console()
    console.print(table)
    one = loads[Settings().encoder]
    spent = ", ".join(f"{role} {seconds:.1f}" for role, seconds in one.cpu_s.items())
    console.print(f"Processor seconds until every vector is there: {spent}.")
    console.print(
        f"{entries:,} articles with vectors: {one.encoded_s / alone_s:.2f} of the encoder's own "
        f"time, {sum(one.cpu_s.values()) / alone_cpu_s:.2f} of its processor time; must 1.3 "
        "(reach 1.1)."
    )


if __name__ == "__main__":
    main()
