#!/usr/bin/env python3
"""How long a replay takes and how much memory it needs, as the log grows longer.

The EB-NeRD log in DIRECTORY is told again and again, each time with its times moved on by its own
span, written to files by day, and replayed by a process of its own: counters, pairs and readers'
pasts, no ranking. `whole` is the same replay over the log in memory.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from feed.offline.ebnerd import read_ebnerd
from feed.offline.event_log import EventLog
from feed.offline.log_source import StoredLog
from feed.offline.replay import Replay

T = TypeVar("T")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--times", multiple=True, type=int, default=(1, 3), show_default=True)
def bench_replay(directory: Path, times: tuple[int, ...]) -> None:
    """Print seconds and peak memory of replaying the log told so many times."""
    table = Table("log", "events", "showings", "read from", "seconds", "peak memory, MB")
    for count in times:
        for kept in ("files", "whole"):
            with tempfile.TemporaryDirectory() as files:
                found = _alone(_write, directory, count, Path(files))
                stored, events, showings = found
                source = stored if kept == "files" else (directory, count)
                seconds, peak_mb = _alone(_replay, source)
            size = (f"{count}x", f"{events:,}", f"{showings:,}")
            table.add_row(*size, kept, f"{seconds:.0f}", f"{peak_mb:.0f}")
    Console().print(table)


def repeat(log: EventLog, times: int) -> EventLog:
    """Return the log told so many times, each time moved on by its span."""
    events, views = log.events, log.impressions
    span, turns = log.ends_at - log.begins_at + 1.0, np.arange(times)
    whole = events.part(np.tile(np.arange(len(events)), times))

    def moved(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.tile(at, times) + np.repeat(turns * span, len(at))

    ends = [views.starts[1:] + turn * views.starts[-1] for turn in turns]
    return replace(
        log,
        events=replace(
            whole,
            columns=replace(whole.columns, occurred_at=moved(events.columns.occurred_at)),
            arrives_at=moved(events.columns.occurred_at),
        ),
        impressions=replace(
            views,
            keys=np.arange(len(views) * times),
            users=np.tile(views.users, times),
            at=moved(views.at),
            pages=np.tile(views.pages, times),
            devices=np.tile(views.devices, times),
            subscribers=np.tile(views.subscribers, times),
            starts=np.concatenate([[0], *ends]),
            shown=np.tile(views.shown, times),
            clicked=np.tile(views.clicked, times),
        ),
    )


def _write(directory: Path, times: int, files: Path) -> tuple[StoredLog, int, int]:
    log = repeat(read_ebnerd(directory), times)
    return StoredLog(log, files), len(log.events), len(log.impressions.shown)


def _replay(source: StoredLog | tuple[Path, int]) -> tuple[float, float]:
    log = source if isinstance(source, StoredLog) else repeat(read_ebnerd(source[0]), source[1])
    begun = time.perf_counter()
    Replay(log).advance(np.inf)
    seconds = time.perf_counter() - begun
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def _alone(task: Callable[..., T], *arguments: Any) -> T:
    """Return what a task returns in a process that ends with it."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as worker:
        return worker.submit(task, *arguments).result()


if __name__ == "__main__":
    bench_replay()
