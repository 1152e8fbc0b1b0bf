#!/usr/bin/env python3
"""Prints what an object store costs: commits, first and later reads, looks at the live model.

The same work is done in a directory and in an S3 server on the loopback address (moto, in Python,
which is slow itself), in turns. A real store adds its own latency to each request.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import files
from pathlib import Path
from statistics import median

import click
import orjson
from rich.console import Console
from rich.table import Table

from feed.config import Settings
from feed.models.bundle import ModelBundle
from feed.models.registry import ModelRegistry
from feed.storage.archive import Archive
from feed.storage.archive_object_writer import open_writer
from feed.storage.archive_upkeep import compact
from feed.storage.archive_writer import Batch
from feed.storage.records import RecordType, StreamRecord
from feed.storage.working_copy import prepare_data_dir
from lab.faults.object_server import ObjectServer

NOW = 1_780_000_000.0


@click.command()
@click.option("--commits", default=30, help="Commits of the archive.")
@click.option("--events", default=2000, help="Events of a commit.")
def main(commits: int, events: int) -> None:
    """Measure both places and print one table."""
    with ObjectServer.running() as server, tempfile.TemporaryDirectory() as folder:
        os.environ |= server.environment(server.port)
        local = replace(Settings(), data_dir=Path(folder) / "local")
        remote = replace(Settings(), data_dir=Path(folder) / "copy", data_url=server.new_url())
        reader = replace(remote, data_dir=Path(folder) / "reader")
        for settings in (local, remote, reader):
            prepare_data_dir(settings)
        table = Table("what, ms", "directory", "object store", title_justify="left")
        for name, own, other in (
            ("commit, median", write(local, commits, events), write(remote, commits, events)),
            ("merge of all small files", merge(local), merge(remote)),
            ("read of all events, first", read(local), read(reader)),
            ("read of all events, again", read(local), read(reader)),
            ("look at the live model, median", look(local), look(remote)),
        ):
            table.add_row(name, f"{own:.1f}", f"{other:.1f}")
    console = Console()
    console.print(table)
    parts = [Path(str(part.locate())) for part in files("obstore") or ()]
    size = sum(path.stat().st_size for path in parts if path.is_file())
    console.print(f"The extra feed[objects] takes {size / 1e6:.0f} MB.")


def timed(work: Callable[[], object]) -> float:
    """Return how long a call takes, in milliseconds."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def write(settings: Settings, commits: int, events: int) -> float:
    """Return the median time of a commit, in milliseconds."""
    writer = open_writer(settings.data_dir / "archive", "bench")
    writer.recover(lambda *_: [])
    batches = [
        Batch({0: [_record(commit * events + n) for n in range(events)]})
        for commit in range(commits)
    ]
    return median(timed(lambda batch=batch: writer.commit(batch)) for batch in batches)  # type: ignore[misc]


def merge(settings: Settings) -> float:
    """Return the time to merge the small files, in milliseconds."""
    return timed(lambda: compact(settings.data_dir / "archive", "2027-01-01"))


def read(settings: Settings) -> float:
    """Return the time to read all events, in milliseconds."""
    return timed(lambda: Archive(settings.data_dir / "archive").event_columns(0, 1e11))


def look(settings: Settings, looks: int = 30) -> float:
    """Return the median time of one look for another live model, in milliseconds."""
    registry = ModelRegistry(settings.data_dir / "models")
    registry.publish(ModelBundle(version="a"))
    registry.set_live("a")
    registry.pull_live()
    seen = registry.pull_live if settings.data_url != "file://" else registry.live_version
    return median(timed(seen) for _ in range(looks))


def _record(number: int) -> StreamRecord:
    payload = {
        "event_id": f"e{number}",
        "user_id": f"u{number % 500}",
        "article_id": f"a{number % 97}",
        "kind": "click",
        "occurred_at": NOW + number,
        "received_at": NOW,
        "context": {},
        "first": True,
    }
    return StreamRecord(f"{number + 1}-0", RecordType.EVENT, orjson.dumps(payload))


if __name__ == "__main__":
    main()
