#!/usr/bin/env python3
"""How long `feed retrain` takes and what memory it needs, beside implicit's own fit alone.

A site's archive is generated: clicks by popularity and taste over two weeks, and feeds of ten
articles with one click each. `feed retrain` does everything it does: it reads the archive, fits
factors, neighbours and content map, rebuilds the rankers' examples, puts the model to the gate and
publishes the bundle. Beside it stands one fit of implicit's ALS on the matrix of the same archive,
with the same factors, sweeps and threads. Each runs in a process of its own. The ratio is given of
the time and of the processor time; on a machine that does other work only the second can be
compared.
"""

from __future__ import annotations

import cProfile
import multiprocessing
import os
import pstats
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

import click
import numpy as np
import orjson
from implicit.als import AlternatingLeastSquares
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix, load_npz, save_npz
from threadpoolctl import threadpool_limits

from feed.arrays import Floats, Rows
from feed.commands.retrain import retrain as retrain_command
from feed.config import DAY_S, TrainingConfig
from feed.features.interactions import build_interactions
from feed.models.factors import confidences, training_threads
from feed.models.training_runs import list_runs
from feed.offline.archive_log import read_archive
from feed.storage.archive import Archive
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import CatalogueChange, RecordType, StreamRecord
from lab.bench.world import DIMENSIONS, SECTIONS, clustered_vectors, stored_article

T = TypeVar("T")
DAYS = 14.0
END = 1_780_000_000.0
"""The end of the generated log; what is drawn does not depend on the day the script runs."""
LIST_SIZE = 10
CLICKS_OF_A_READER = 100
WRITTEN_AT_ONCE = 100_000


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
            table.add_row("", f"  {phase}", "", f"{processor_s:.1f}", "", "")
    console = Console()
    console.print(
        f"The log: two weeks of {articles:,} articles with vectors of {DIMENSIONS}; readers with"
        f" {CLICKS_OF_A_READER} clicks each, by popularity and taste; {lists:,} feeds of up to"
        f" {LIST_SIZE} articles in view with one click."
    )
    console.print(table)
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def write_archive(archive_dir: Path, clicks: int, articles: int, lists: int) -> float:
    """Write the generated archive; return when it began."""
    rng = np.random.default_rng(7)
    writer, began = ArchiveWriter(archive_dir, "bench"), time.perf_counter()
    writer.recover(lambda *_: [])
    vectors = clustered_vectors(rng, articles)
    changes = []
    for row, vector in enumerate(vectors):
        stored = stored_article(f"a{row}", row, vector, END, articles)
        changes.append(CatalogueChange(f"a{row}", stored))
    writer.commit(Batch({}, changes, "1-0", END))
    pending: list[StreamRecord] = []
    for number, payload in enumerate(events(rng, clicks, articles, lists), start=1):
        pending.append(StreamRecord(f"{number}-0", RecordType.EVENT, orjson.dumps(payload)))
        if len(pending) >= WRITTEN_AT_ONCE:
            writer.commit(Batch({0: pending}, (), "1-0", END))
            pending = []
    writer.commit(Batch({0: pending}, (), "1-0", END))
    return time.perf_counter() - began


def events(
    rng: np.random.Generator, clicks: int, articles: int, lists: int
) -> Iterator[dict[str, object]]:
    """Yield clicks in time order, those of a feed after the impressions of its articles."""
    readers = max(clicks // CLICKS_OF_A_READER, 1)
    popularity = 1.0 / np.arange(10, articles + 10)
    popularity = np.cumsum(popularity / popularity.sum())
    taste = rng.integers(0, SECTIONS, (readers, 2))
    answers = np.zeros(clicks, np.bool_)
    answers[rng.choice(clicks, lists, replace=False)] = True
    times = np.linspace(END - DAYS * DAY_S, END - 1.0, clicks)
    for start in range(0, clicks, WRITTEN_AT_ONCE):
        count = min(WRITTEN_AT_ONCE, clicks - start)
        users = rng.integers(0, readers, count)
        rows = _draw(rng, popularity, taste[users, rng.integers(0, 2, count)])
        for place, (user, row) in enumerate(zip(users.tolist(), rows.tolist(), strict=True)):
            number = start + place
            at = float(times[number])
            event = {"user_id": f"r{user}", "occurred_at": at, "received_at": at, "context": {}}
            if answers[number]:
                event["request_id"] = f"q{number}"
                others = np.searchsorted(popularity, rng.random(LIST_SIZE - 1)).tolist()
                for slot, shown in enumerate({row, *others}):
                    yield event | {
                        "event_id": f"i{number}-{slot}",
                        "article_id": f"a{shown}",
                        "kind": "impression",
                    }
            yield event | {
                "event_id": f"c{number}",
                "article_id": f"a{row}",
                "kind": "click",
                "first": True,
            }


def _draw(rng: np.random.Generator, popularity: Floats, sections: Rows) -> Rows:
    """Return articles by popularity, two of three in a section of the reader's."""
    rows: Rows = np.searchsorted(popularity, rng.random(len(sections)))
    own = rng.random(len(rows)) < 2 / 3
    rows[own] += (sections[own] - rows[own]) % SECTIONS
    return np.minimum(rows, len(popularity) - 1)


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

    stages, done = [("starting", time.process_time())], Event()
    watcher = Thread(target=_note_stages, args=(directory / "models", stages, done))
    watcher.start()
    cost = _measured(run)
    done.set()
    watcher.join()
    starts = [at for _, at in stages] + [time.process_time()]
    phases = [(name, end - at) for (name, at), end in zip(stages, starts[1:], strict=True)]
    cost = replace(cost, phases=tuple(phases))
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats("feed/|lightgbm|implicit", 45)
    return cost


def _note_stages(models_dir: Path, stages: list[tuple[str, float]], done: Event) -> None:
    """Note each stage of the training run, and the processor time when it began."""
    while not done.wait(0.1):
        stage = next((run.stage for run in list_runs(models_dir)), "")
        if stage and stage != stages[-1][0]:
            stages.append((stage, time.process_time()))


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
