#!/usr/bin/env python3
"""How many events a second several workers count and archive that share out the partitions."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from redis import Redis

from feed.domain import Event
from feed.service.child_environment import environment_of_child
from feed.storage.archive_ledger import Ledger
from feed.storage.key_names import Keys
from feed.storage.redis_store import RedisStore
from feed.worker.publication import Publication
from lab.bench.worker import (
    RUN_WORKER,
    archived_rows,
    cpu_seconds,
    make_events,
    measure_writing,
    new_store,
    server_seconds,
)


@dataclass(frozen=True, slots=True)
class SharedRun:
    """What some workers together have done: events a second, and processor seconds of each part."""

    per_second: float
    workers_s: list[float]
    store_s: float

    @property
    def busiest_s(self) -> float:
        """Of the process that limits how much can be done on enough cores."""
        return max(*self.workers_s, self.store_s)


def measure_sharing(events: int, seed: int, workers: int, rounds: int) -> dict[str, float]:
    """Return how many events a second one worker counts and archives, and how many several do.

    The partitions are shared out before the first record comes. One and several take turns; the
    figures are medians. Where other work keeps the cores busy, the rate says little: then the
    events per processor second of the busiest process, be it a worker or the store, are the bound
    on what several can do.
    """
    found: dict[int, list[SharedRun]] = {1: [], workers: []}
    for turn in range(rounds):
        for count in (1, workers) if turn % 2 == 0 else (workers, 1):
            found[count].append(_shared_run(make_events(events, seed + turn), count))
    figures: dict[str, float] = {}
    for count, runs in found.items():
        busiest_s = float(np.median([run.busiest_s for run in runs]))
        figures |= {
            f"{count}: events a second": float(np.median([run.per_second for run in runs])),
            f"{count}: of busiest process, s": busiest_s,
            f"{count}: of all workers, s": float(np.median([sum(r.workers_s) for r in runs])),
            f"{count}: of the store, s": float(np.median([run.store_s for run in runs])),
            f"{count}: events per processor s": events / busiest_s,
        }
    for name, key in (("rate", "events a second"), ("processor", "events per processor s")):
        figures[f"ratio by {name}"] = figures[f"{workers}: {key}"] / figures[f"1: {key}"]
    return {**figures, "load average": os.getloadavg()[0]}


def _shared_run(events: list[Event], count: int) -> SharedRun:
    """Let workers that have shared out empty partitions find all events in them at once."""
    with new_store() as (settings, store), closing(Redis.from_url(settings.redis_url)) as direct:
        measure_writing(store, events, 200, 0)
        keys = Keys(settings.namespace, store.partitions)
        streams = [keys.stream(partition) for partition in range(store.partitions)]
        ends = store.stream_ends()
        for stream in streams:
            direct.rename(stream, f"{stream}:held")
        environment = environment_of_child(settings)
        command = [sys.executable, "-c", RUN_WORKER]
        processes = [subprocess.Popen(command, env=environment) for _ in range(count)]
        try:
            while not _is_shared_out(store, count):
                time.sleep(0.2)
            begun, before = time.perf_counter(), [cpu_seconds(p.pid) for p in processes]
            store_before = server_seconds(store)
            with direct.pipeline() as together:
                for stream in streams:
                    together.rename(f"{stream}:held", stream)
                together.execute()
            _wait_for_counts(store, ends)
            _wait_for_archive(settings.data_dir / "archive", ends)
            rate = len(events) / (time.perf_counter() - begun)
            used = [cpu_seconds(p.pid) - s for p, s in zip(processes, before, strict=True)]
            store_s = server_seconds(store) - store_before
            if archived_rows(settings, "events") != len(events):
                raise RuntimeError("the archive does not hold each event once")
            return SharedRun(rate, used, store_s)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


def _is_shared_out(store: RedisStore, workers: int) -> bool:
    table = store.read_workers()
    held = [table.held(run) for run in table.live]
    return len(held) == workers and sum(held) == store.partitions and max(held) - min(held) <= 1


def _wait_for_counts(store: RedisStore, ends: Mapping[int, str]) -> None:
    """Wait until the deltas reach the ends of the streams, reading each delta once."""
    positions: dict[int, str] = {}
    cursor = "0-0"
    while any(positions.get(partition) != end for partition, end in ends.items()):
        time.sleep(0.1)
        for delta_id, data in store.read_deltas(cursor):
            cursor = delta_id
            positions |= Publication.from_bytes(data).positions


def _wait_for_archive(archive_dir: Path, ends: Mapping[int, str]) -> None:
    """Wait until the ledger, which costs little to ask, reaches the ends of the streams."""
    ledger = Ledger(archive_dir)
    while dict(ledger.last().positions) != ends:
        time.sleep(0.05)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="compared with one (2)")
    parser.add_argument("--events", type=int, default=200_000, help="events of each turn (200000)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (3)")
    parser.add_argument("--seed", type=int, default=7)
    a = parser.parse_args()
    for name, value in measure_sharing(a.events, a.seed, a.workers, a.rounds).items():
        print(f"{name:28s} {value:12,.2f}")


if __name__ == "__main__":
    main()
