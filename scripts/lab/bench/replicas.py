#!/usr/bin/env python3
"""Prints which acknowledged events die with a store's primary, and what confirming them costs.

A primary is killed while events are sent, and its replica is asked for what was acknowledged.
`store_confirmed_by` and the time that the replica's data take on their way are varied. Both servers
share one machine and one disk; flushing to disk costs more or less on yours.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import orjson
import redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from feed.config import Settings
from feed.domain import Event, EventKind, StoreUnavailableError
from feed.storage.confirmation import CONFIRMATIONS
from feed.storage.records import RecordType
from feed.storage.redis_store import RedisStore
from lab.faults.installation import wait_until
from lab.faults.replicated import ReplicatedStore

DELAYS_MS = (0, 5, 50)
BATCH = 10
SENDING_S = 1.0
NOW = 1_780_000_000.0


@dataclass(slots=True)
class Tally:
    """What became of the events of several rounds."""

    acknowledged: int = 0
    lost: int = 0
    refused: int = 0
    took_ms: list[float] = field(default_factory=list)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Kills of each row.")
def main(rounds: int) -> None:
    """Kill a primary again and again, and print one table."""
    console = Console()
    cases = [(way, delay) for way in CONFIRMATIONS for delay in DELAYS_MS]
    tallies = {case: Tally() for case in cases}
    turns = [case for _ in range(rounds) for case in cases]
    for way, delay_ms in track(turns, console=console, description="Killing primaries"):
        with tempfile.TemporaryDirectory() as folder:
            one_round(Path(folder), way, delay_ms, tallies[way, delay_ms])
    table = Table("confirmed by", "replica late by", "acknowledged", "lost", "refused", "p50 ms")
    for (way, delay_ms), tally in tallies.items():
        table.add_row(
            way,
            f"{delay_ms} ms",
            f"{tally.acknowledged:,}",
            f"{tally.lost:,}",
            f"{tally.refused:,}",
            f"{statistics.median(tally.took_ms):.2f}",
        )
    console.print(table)
    console.print(f"{rounds} kills a row; p50 is the time of one batch of {BATCH} events.")


def one_round(folder: Path, way: str, delay_ms: int, tally: Tally) -> None:
    """Send events, kill the primary, and look for the acknowledged ones on the replica."""
    with ReplicatedStore.running(folder) as servers:
        settings = replace(
            Settings(),
            redis_url=servers.url,
            store_confirmed_by=way,
            store_timeout_ms=1000,
            data_dir=folder,
        )
        store = RedisStore(settings)
        store.append_events(_batch(0))
        servers.link.delay_s = delay_ms / 1000
        threading.Timer(SENDING_S, _kill, [servers]).start()
        acknowledged = _send_until_killed(store, tally)
        store.close()
        wait_until(lambda: servers.primary.poll() is not None, "the primary to die")
        with closing(redis.from_url(servers.replica_url)) as replica:
            replica.replicaof("NO", "ONE")
        with closing(RedisStore(replace(settings, redis_url=servers.replica_url))) as heir:
            kept = _streamed_ids(heir)
    tally.acknowledged += len(acknowledged)
    tally.lost += len(acknowledged - kept)


def _kill(servers: ReplicatedStore) -> None:
    servers.link.cut()
    servers.primary.kill()


def _send_until_killed(store: RedisStore, tally: Tally) -> set[str]:
    acknowledged: set[str] = set()
    number, failures = 1, 0
    while failures < 3:
        events = _batch(number)
        number += 1
        begun = time.perf_counter()
        try:
            store.append_events(events)
        except StoreUnavailableError:
            tally.refused += len(events)
            failures += 1
            continue
        tally.took_ms.append((time.perf_counter() - begun) * 1000)
        acknowledged |= {event.event_id for event in events}
    return acknowledged


def _streamed_ids(store: RedisStore) -> set[str]:
    found = store.read_streams(dict.fromkeys(range(store.partitions), "0-0"), 10_000_000)
    records = (record for records in found.values() for record in records)
    return {orjson.loads(r.payload)["event_id"] for r in records if r.type is RecordType.EVENT}


def _batch(number: int) -> list[Event]:
    return [
        Event(
            kind=EventKind.CLICK,
            event_id=f"event-{number}-{place}",
            user_id=f"reader-{(number * BATCH + place) % 997}",
            article_id=f"article-{place}",
            occurred_at=NOW,
            received_at=NOW,
        )
        for place in range(BATCH)
    ]


if __name__ == "__main__":
    main()
