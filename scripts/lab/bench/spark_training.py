#!/usr/bin/env python3
"""How long `feed retrain` takes on one machine and on Spark, for the same generated archives.

Both engines do everything that a retraining does, without publishing. Each runs in processes of
its own; memory is the proportional set size of all of them together, and processor time that of
all of them. A run that goes beyond the limits is stopped, and its row says at which. The fit of
implicit's ALS on a GPU stands beside them where implicit finds one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import implicit.gpu
import orjson
from rich.console import Console
from rich.table import Table

from feed.features.interactions import build_interactions
from feed.models.factors import confidences
from feed.offline.archive_log import read_archive
from feed.storage.archive import Archive
from feed.training_config import TrainingConfig
from lab.bench.training_world import write_archive

TICK_S = 0.5
BILLION = 1_000_000_000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run took: seconds, processor seconds, peak memory in MB, and why it was stopped."""

    seconds: float
    processor_s: float
    peak_mb: float
    stopped: str = ""


@click.command()
@click.option(
    "--interactions", multiple=True, type=int, default=(1_000_000, 10_000_000, 100_000_000)
)
@click.option("--articles", default=20_000, show_default=True)
@click.option("--lists", default=100_000, show_default=True, help="Feeds in view, with a click.")
@click.option("--master", default="local[*]", show_default=True)
@click.option("--limit-minutes", default=120.0, show_default=True, help="Of each run.")
@click.option("--limit-gb", default=24.0, show_default=True, help="Memory of each run.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def bench_spark_training(
    *,
    interactions: tuple[int, ...],
    articles: int,
    lists: int,
    master: str,
    limit_minutes: float,
    limit_gb: float,
    json_path: Path | None,
) -> None:
    """Print what training costs on one machine and on Spark, and what a billion would cost."""
    engines = {"local": ("--engine", "als"), "Spark": ("--engine", "spark", "--master", master)}
    table = Table("interactions", "engine", "seconds", "of processor", "peak memory, MB", "stopped")
    found: dict[str, dict[int, Usage]] = {name: {} for name in engines}
    for count in interactions:
        with tempfile.TemporaryDirectory(prefix="feed-spark-") as name:
            write_archive(Path(name) / "archive", count, articles, min(lists, count))
            for engine, arguments in engines.items():
                usage = run_alone(
                    ["retrain", "--data", name, "--dry-run", *arguments],
                    limit_minutes * 60.0,
                    limit_gb * 1024.0,
                )
                found[engine][count] = usage
                table.add_row(f"{count:,}", engine, *_row(usage))
            gpu = fit_on_gpu(Path(name) / "archive")
            table.add_row(f"{count:,}", "implicit's ALS on a GPU, the fit alone", *gpu)
    console = Console()
    console.print(f"{articles:,} articles, {lists:,} feeds in view; Spark at {master}.")
    console.print(table)
    for engine, usages in found.items():
        console.print(extrapolate(engine, usages))
    if json_path is not None:
        figures = [
            {"engine": engine, "interactions": count} | asdict(usage)
            for engine, usages in found.items()
            for count, usage in usages.items()
        ]
        json_path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def run_alone(arguments: list[str], limit_s: float, limit_mb: float) -> Usage:
    """Run the command line in a process group of its own; return what it and its children took."""
    began, processor, peak, stopped = time.monotonic(), dict[int, float](), 0.0, ""
    command = [sys.executable, "-m", "feed", *arguments]
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        while process.poll() is None:
            held = 0.0
            for pid in group(process.pid):
                with suppress(OSError):
                    processor[pid] = processor_of(pid)
                    held += memory_of(pid)
            peak = max(peak, held)
            seconds = time.monotonic() - began
            if seconds > limit_s or peak > limit_mb:
                stopped = (
                    f"at {limit_s / 60:g} min" if seconds > limit_s else f"at {limit_mb:,.0f} MB"
                )
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                break
            time.sleep(TICK_S)
        output.seek(0)
        if process.returncode and not stopped:
            stopped = output.read().decode(errors="replace").strip().splitlines()[-1][:80]
    return Usage(time.monotonic() - began, sum(processor.values()), peak, stopped)


def group(leader: int) -> list[int]:
    """Return the processes that the leader of a session started, itself among them."""
    parents, sessions = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)], sessions[int(entry.name)] = int(fields[1]), int(fields[3])
    found = {leader}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found | {pid for pid, session in sessions.items() if session == leader})


def processor_of(pid: int) -> float:
    """Return the processor seconds of a process, and of those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def memory_of(pid: int) -> float:
    """Return the proportional set size of a process, MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024.0


def fit_on_gpu(archive_dir: Path) -> tuple[str, str, str, str]:
    """Return the row of implicit's GPU ALS on the archive's matrix."""
    if not implicit.gpu.HAS_CUDA:
        return ("not measured", "", "", "no GPU that implicit can use")
    from implicit.gpu.als import AlternatingLeastSquares  # noqa: PLC0415 - needs the GPU

    log, _ = read_archive(Archive(archive_dir))
    config, size = TrainingConfig(), (len(log.users), len(log.articles))
    weights = build_interactions(log.events.columns, size, log.ends_at + 1.0, config)
    model = AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.regularization,
        alpha=1.0,
        iterations=config.iterations,
        random_state=config.seed,
    )
    began, processor = time.monotonic(), time.process_time()
    model.fit(confidences(weights, config.alpha), show_progress=False)
    seconds, processor_s = time.monotonic() - began, time.process_time() - processor
    return (f"{seconds:.1f}", f"{processor_s:.1f}", "", "")


def extrapolate(engine: str, usages: dict[int, Usage]) -> str:
    """Return the arithmetic for a billion interactions, a line through the two largest sizes."""
    whole = [(count, usage) for count, usage in sorted(usages.items()) if not usage.stopped]
    if len(whole) < 2:
        return f"{engine}: a billion needs two sizes that ran to their end."
    (small, low), (large, high) = whole[-2:]
    share = (BILLION - large) / (large - small)
    work = high.processor_s + share * (high.processor_s - low.processor_s)
    memory = high.peak_mb + share * (high.peak_mb - low.peak_mb)
    return (
        f"{engine}, a billion, on the line through {small:,} and {large:,}:"
        f" {work / 3600:,.1f} processor hours"
        f" ({1e6 * (high.processor_s - low.processor_s) / (large - small):.1f} s a million),"
        f" {memory / 1024:,.0f} GB in all processes together."
    )


def _row(usage: Usage) -> tuple[str, str, str, str]:
    numbers = f"{usage.seconds:.1f}", f"{usage.processor_s:.1f}", f"{usage.peak_mb:,.0f}"
    return (*numbers, usage.stopped)


if __name__ == "__main__":
    bench_spark_training()
