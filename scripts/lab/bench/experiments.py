#!/usr/bin/env python
"""Measure how long a report takes, and how much memory, on simulated archives of a known size.

Each size runs in a process of its own, so that its peak memory is its own.

    python scripts/lab/run bench/experiments --events 1e6 --events 1e7 --json experiments.json
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
from rich.console import Console
from rich.table import Table

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, Status, Variant
from feed.experiments.judgement.analysis import analyse
from feed.experiments.report.writing import write_report
from feed.storage.archive import Archive
from lab.simulation.archive import World, write_simulated_log

EVENTS_A_READER = 177
"""Of the simulated world, over 14 days before and 14 of the experiment."""


def world_of(events: int) -> World:
    """A world with about so many events."""
    return World(experiment="bench", readers=max(200, events // EVENTS_A_READER), lift=0.1)


def measure(folder: str, events: int, memory_mb: int, threads: int, results: Any) -> None:
    """Make one report and put what it took on a queue; runs in a process of its own."""
    world = world_of(events)
    variants = tuple(Variant(name=name, share=0.5) for name in world.variants)
    design = Experiment(
        name=world.experiment,
        hypothesis="A tenth more clicks.",
        owner="bench",
        variants=variants,
        status=Status.RUNNING,
        started_at=world.start_at,
        planned_readers=world.readers,
    )
    begin = time.perf_counter()
    now = world.start_at + world.days * DAY_S
    data = Path(folder)
    report = analyse(data, design, now=now, memory_mb=memory_mb, threads=threads)
    analysed = time.perf_counter()
    write_report(report, data / "reports")
    done = time.perf_counter()
    results.put(
        {
            "analysis_s": analysed - begin,
            "writing_s": done - analysed,
            "cpu_s": time.process_time(),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "verdict": report.verdict.kind.value,
        }
    )


@click.command()
@click.option("--events", "sizes", type=float, multiple=True, default=(1e6, 1e7), show_default=True)
@click.option("--memory-mb", default=1500, show_default=True, help="Of the query engine.")
@click.option("--threads", default=2, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path))
def main(sizes: tuple[float, ...], memory_mb: int, threads: int, json_file: Path | None) -> None:
    """Measure reports on archives with about so many events."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="feed-bench-") as folder:
            write_simulated_log(Path(folder), world_of(int(size)))
            results = context.Queue()
            arguments = (folder, int(size), memory_mb, threads, results)
            process = context.Process(target=measure, args=arguments)
            process.start()
            found = results.get()
            process.join()
            rows.append({**count_rows(Path(folder)), **found, "threads": threads})
    show(rows, Console())
    if json_file is not None:
        json_file.write_text(json.dumps({"memory_mb": memory_mb, "sizes": rows}, indent=2))


def count_rows(data: Path) -> dict[str, float]:
    """Return the size of an archive."""
    with Archive(data / "archive").query() as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]  # noqa: S608
            for table in ("events", "served")
        ]
    files = (data / "archive").rglob("*.parquet")
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    return {"events": counts[0], "slots": counts[1], "archive_mb": megabytes}


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the table."""
    table = Table(title="one report", title_justify="left")
    headings = (
        "events",
        "slots served",
        "archive",
        "analysis",
        "writing",
        "processor",
        "peak memory",
        "says",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row['events']:,}",
            f"{row['slots']:,}",
            f"{row['archive_mb']:.0f} MB",
            f"{row['analysis_s']:.1f} s",
            f"{row['writing_s']:.1f} s",
            f"{row['cpu_s']:.1f} s",
            f"{row['peak_mb']:.0f} MB",
            row["verdict"],
        )
    console.print(table)


if __name__ == "__main__":
    main()
