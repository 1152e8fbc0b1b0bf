#!/usr/bin/env python3
"""What readers' tokens cost: checking one, and feeds with tokens against feeds of an open service.

Two services share one store. One is open; the other checks a token or a key of every request.
They are asked in turns of a few seconds, so that both see the machine in the same state.
"""

from __future__ import annotations

import itertools
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import jwt
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.console import Console
from rich.table import Table

from feed.config import Settings
from feed.service.api_keys import hash_key, make_key
from feed.service.reader_tokens import ReaderTokens
from feed.storage.embedded import EmbeddedStore
from lab.bench.load import Load, get, run_load
from lab.bench.service import ENVIRONMENT, prepare, ready_articles, serving
from lab.bench.world import Site
from lab.ports import free_port

CHECKS = 2000
SECRET = secrets.token_urlsafe(48)


@click.command()
@click.option("--articles", default=20_000, show_default=True)
@click.option("--turns", default=10, show_default=True, help="Turns of each kind.")
@click.option("--seconds", default=4.0, show_default=True, help="Length of one turn.")
def main(articles: int, turns: int, seconds: float) -> None:
    """Print what checking a token costs, alone and within a feed."""
    console = Console()
    console.print(table_of_checks())
    with tempfile.TemporaryDirectory(prefix="feed-bench-") as folder:
        settings = replace(Settings(), data_dir=Path(folder), port=free_port(), encoder="none")
        site = prepare(settings, articles)
        with serving(settings, 2, articles), checking(settings, articles) as (port, key):
            for concurrency in (1, 8):
                console.print(
                    table_of_feeds(settings.port, port, key, site, turns, seconds, concurrency)
                )


def table_of_checks() -> Table:
    """Return the time of one check by algorithm, new tokens and tokens seen before."""
    table = Table(
        "algorithm", "a new token, us", "one seen before, us", title="checking a reader's token"
    )
    now = time.time()
    for name, key, settings in key_pairs():
        tokens = [
            jwt.encode({"sub": f"reader-{n}", "exp": int(now) + 900}, key, algorithm=name)
            for n in range(CHECKS)
        ]
        checker = ReaderTokens(settings, bytes)
        first = [_microseconds(checker.verify, token, now) for token in tokens]
        again = [_microseconds(checker.verify, token, now) for token in tokens]
        table.add_row(name, f"{np.median(first):.1f}", f"{np.median(again):.1f}")
    return table


def key_pairs() -> Iterator[tuple[str, Any, Settings]]:
    """Yield each algorithm with a signing key and the settings that accept it."""
    yield "HS256", SECRET, Settings(token_secret=SECRET)
    for name, key in (
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
        ("RS256", rsa.generate_private_key(65537, 2048)),
    ):
        with tempfile.NamedTemporaryFile() as file:
            data = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            Path(file.name).write_bytes(data)
            yield name, key, Settings(token_keys=file.name)


def _microseconds(check: Callable[..., Any], *arguments: Any) -> float:
    begun = time.perf_counter()
    check(*arguments)
    return (time.perf_counter() - begun) * 1e6


@contextmanager
def checking(settings: Settings, articles: int) -> Iterator[tuple[int, str]]:
    """Run a second service on the same store that wants credentials; yield port and a read key."""
    port, key = free_port(), make_key()
    environment = {
        **ENVIRONMENT,
        "FEED_REDIS_URL": EmbeddedStore(settings.data_dir).url,
        "FEED_TOKEN_SECRET": SECRET,
        "FEED_API_KEYS": f"read:{hash_key(key)}",
        "FEED_ENCODER": "none",
        "FEED_LOG_LEVEL": "error",
    }
    folder = settings.data_dir / "second"
    folder.mkdir()
    (folder / "models").symlink_to(settings.data_dir / "models")
    command = [sys.executable, "-m", "feed", "serve", "--data", str(folder)]
    command += ["--port", str(port), "--web", "2"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while ready_articles(port) < articles:
            if process.poll() is not None:
                raise click.ClickException("the second service does not start")
            time.sleep(0.05)
        yield port, key
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def table_of_feeds(
    open_port: int,
    closed_port: int,
    key: str,
    site: Site,
    turns: int,
    seconds: float,
    concurrency: int,
) -> Table:
    """Return feeds without a credential, with a key and with tokens, asked for in turns."""
    minter = ReaderTokens(Settings(token_secret=SECRET), bytes)
    now = time.time()
    requests: dict[str, tuple[int, Iterator[bytes]]] = {
        "open, no credential": (
            open_port,
            itertools.cycle([get(f"/v1/feed?user_id={r}&limit=20") for r in site.reader_ids]),
        ),
        "a read key": (
            closed_port,
            itertools.cycle([get(f"/v1/feed?user_id={r}&limit=20", key) for r in site.reader_ids]),
        ),
        "readers' tokens, HS256": (
            closed_port,
            itertools.cycle(
                [get("/v1/feed?limit=20", minter.mint(r, now, 3600)) for r in site.reader_ids]
            ),
        ),
    }
    medians: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(turns):
        for name, (port, stream) in requests.items():
            load: Load = run_load(port, stream, concurrency=concurrency, seconds=seconds)
            medians[name].append(load.wall_s * 1e3 * concurrency / max(1, len(load.latencies_ms)))
    base = np.array(medians["open, no credential"])
    table = Table(
        "feeds", "ms a feed", "ratio to open, median of turns", "its quartiles",
        title=f"{concurrency} at once, {turns} turns of {seconds:g} s",
    )  # fmt: skip
    for name, values in medians.items():
        ratio = np.array(values) / base
        low, middle, high = np.percentile(ratio, [25, 50, 75])
        table.add_row(name, f"{np.median(values):.2f}", f"{middle:.3f}", f"{low:.3f} {high:.3f}")
    return table


if __name__ == "__main__":
    main()
