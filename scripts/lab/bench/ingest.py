#!/usr/bin/env python3
"""Times the first load of a large feed: `feed ingest` into a fresh `feed serve`.

Beside it stands the encoder alone: a process for each core, which encodes a part of the same texts
and does nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
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
from lab.bench.service import ENVIRONMENT, ready_articles
from lab.ports import free_port

PARTS = ("ka", "ro", "mi", "ten", "lo", "sa", "ver", "dun", "pi", "hol")
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


def load(feed: Path, data_dir: Path, encoder: str) -> tuple[float, float]:
    """Return the seconds of one load, and those from its begin until every vector is there."""
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
        begun = time.perf_counter()
        ingest = [*command, "ingest", str(feed), "--url", f"http://127.0.0.1:{port}"]
        subprocess.run(ingest, env=environment, check=True, capture_output=True)
        loaded_s = time.perf_counter() - begun
        address = EmbeddedStore(data_dir).url
        with closing(RedisStore(replace(Settings(), redis_url=address))) as store:
            while store.unencoded_articles(1):
                if time.perf_counter() - begun > MOST_S:
                    raise click.ClickException("the vectors do not come")
                time.sleep(POLL_S)
        return loaded_s, time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def encoder_alone(texts: list[str]) -> float:
    """Return the seconds in which one process for each core encodes a part of the texts each."""
    cores = os.cpu_count() or 1
    chance = random.Random(1)  # noqa: S311 - an order, not a secret
    mixed = chance.sample(texts, len(texts))
    parts = [mixed[number::cores] for number in range(cores)]
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.map(_encode, [part[:2] for part in parts], chunksize=1)  # loads the weights
        begun = time.perf_counter()
        pool.map(_encode, parts, chunksize=1)
        return time.perf_counter() - begun


def _encode(texts: list[str]) -> int:
    return len(_encoder().encode(texts))


@cache
def _encoder() -> SentenceEncoder:
    return SentenceEncoder(threads=1)


@click.command()
@click.option("--entries", default=1_500, show_default=True)
@click.option("--sections", default=700, show_default=True)
def main(entries: int, sections: int) -> None:
    """Print the seconds of a load with the default encoder and without one."""
    table = Table("encoder", "load, s", "until every vector is there, s")
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "feed.xml"
        write_feed(feed, entries, sections)
        documents = read_documents(str(feed), None, time.time())
        alone_s = encoder_alone([article_text(article) for article in documents.articles])
        seconds = {}
        for encoder in (Settings().encoder, "none"):
            loaded_s, encoded_s = load(feed, Path(folder) / encoder, encoder)
            table.add_row(encoder, f"{loaded_s:.1f}", f"{encoded_s:.1f}")
            seconds[encoder] = encoded_s
    table.add_row("alone, a process for each core", "", f"{alone_s:.1f}")
    console = Console()
    console.print(table)
    times = seconds[Settings().encoder] / alone_s
    console.print(
        f"{entries:,} articles with vectors: {times:.2f} of the encoder's own time; "
        "must 1.3 (reach 1.1)."
    )


if __name__ == "__main__":
    main()
