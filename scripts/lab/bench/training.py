#!/usr/bin/env python3
"""How long `feed retrain` takes and what memory it needs, beside implicit's own fit alone.

A site's archive is generated: clicks by freshness, appeal and taste over two weeks, and feeds of
ten articles with one click each. `feed retrain` does everything it does: it reads the archive, fits
factors, neighbours and content map, rebuilds the rankers' examples, puts the model to the gate and
publishes the bundle. Beside it stands one fit of implicit's ALS on the matrix of the same archive,
with the same factors, sweeps and threads. Each runs in a process of its own. The ratio is given of
the time and of the processor time; on a machine that does other work only the second can be
compared. Below stands what each stage of the retraining took, in the same unit; see `StageClock`.
"""

from __future__ import annotations

import cProfile
import multiprocessing
import os
import pstats
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson
from implicit.als import AlternatingLeastSquares
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix, load_npz, save_npz
from threadpoolctl import threadpool_limits

from feed.commands.retrain import retrain as retrain_command
from feed.features.interactions import build_interactions
from feed.models.factors import confidences, training_threads
from feed.offline.archive_log import read_archive
from feed.storage.archive import Archive
from feed.training_config import TrainingConfig
from lab.bench.stages import StageClock
from lab.bench.training_world import CLICKS_OF_A_READER, LIST_SIZE, write_archive
from lab.bench.world import DIMENSIONS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took: seconds of the part that is measured, and its peak memory in MB.

    `phases` are its parts, each with its processor time in seconds.
    """

    seconds: float
    processor_s: float
    peak_mb: float
    phases: tuple[tuple[str, float], ...] = ()


@click.command()
@click.option("--interactions", multiple=True, type=int, default=(3_000_000,), show_default=True)
@click.option("--articles", default=20_000, show_default=True)
@click.option("--lists", default=100_000, show_default=True, help="Feeds in view, with a click.")
@click.option("--threads", default=training_threads(), show_default=True)
@click.option("--profile", is_flag=True, help="Print where retrain's time goes (it takes longer).")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def bench_training(
    *,
    interactions: tuple[int, ...],
    articles: int,
    lists: int,
    threads: int,
    profile: bool,
    json_path: Path | None,
) -> None:
    """Print what training costs for logs of so many interactions."""
    table = Table("interactions", "what", "seconds", "of processor", "peak memory, MB", "ratio")
    figures: list[dict[str, object]] = []
    for count in interactions:
        with tempfile.TemporaryDirectory(prefix="feed-training-") as name:
            directory = Path(name)
            _alone(write_archive, directory / "archive", count, articles, min(lists, count))
            _alone(write_matrix, directory)
            fit = _alone(fit_alone, directory, threads)
            whole = _alone(retrain, directory, threads, profile)
        in_time, in_work = whole.seconds / fit.seconds, whole.processor_s / fit.processor_s
        for what, cost, shown in (
            ("implicit's fit", fit, ""),
            ("feed retrain", whole, f"{in_time:.2f} ({in_work:.2f} of processor)"),
        ):
            numbers = (f"{cost.seconds:.1f}", f"{cost.processor_s:.1f}", f"{cost.peak_mb:,.0f}")
            table.add_row(f"{count:,}", what, *numbers, shown)
            figures.append({"interactions": count, "what": what} | asdict(cost))
        for phase, processor_s in whole.phases:
            share = f"({processor_s / fit.processor_s:.2f} of processor)"
            table.add_row("", f"  {phase}", "", f"{processor_s:.1f}", "", share)
    console = Console()
    console.print(
        f"The log: two weeks of {articles:,} articles with vectors of {DIMENSIONS}; readers with"
        f" {CLICKS_OF_A_READER} clicks each, by freshness, appeal and taste; {lists:,} feeds of up"
        f" to {LIST_SIZE} articles in view with one click."
    )
    console.print(table)
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def write_matrix(directory: Path) -> None:
    """Write the matrix that implicit's fit alone gets."""
    log, _ = read_archive(Archive(directory / "archive"))
    size = (len(log.users), len(log.articles))
    weights = build_interactions(log.events.columns, size, log.ends_at + 1.0, TrainingConfig())
    save_npz(directory / "matrix.npz", confidences(weights, TrainingConfig().alpha))


def fit_alone(directory: Path, threads: int) -> Cost:
    """Return what one fit costs."""
    matrix, config = csr_matrix(load_npz(directory / "matrix.npz")), TrainingConfig()
    model = AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.regularization,
        alpha=1.0,
        iterations=config.iterations,
        num_threads=threads,
        random_state=config.seed,
    )
    with threadpool_limits(1, "blas"):
        return _measured(lambda: model.fit(matrix, show_progress=False))


def retrain(directory: Path, threads: int, profile: bool) -> Cost:  # noqa: FBT001 - sent to a process
    """Return what `feed retrain` costs on the archive."""
    arguments = ["--data", str(directory), "--threads", str(threads), "--force"]
    profiler = cProfile.Profile()

    def run() -> None:
        if profile:
            profiler.enable()
        retrain_command(arguments, standalone_mode=False)
        profiler.disable()

    with StageClock() as clock:
        cost = _measured(run)
    phases = sorted(clock.seconds.items(), key=lambda item: -item[1])
    cost = replace(cost, phases=tuple(phases))
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats("feed/|lightgbm|implicit", 45)
    return cost


def _measured(work: Callable[[], object]) -> Cost:
    begun, processor = time.perf_counter(), time.process_time()
    work()
    seconds, processor_s = time.perf_counter() - begun, time.process_time() - processor
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(seconds, processor_s, peak_mb)


def _alone(task: Callable[..., T], *arguments: Any) -> T:
    """Return what a task returns in a process that ends with it: its peak memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as worker:
        return worker.submit(task, *arguments).result()


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    bench_training()
