"""Runs both protocols at once, each in its own process."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue

import numpy as np

from feed.arrays import Matrix
from feed.offline.evaluation import evaluate
from feed.offline.log_source import LogSource
from feed.offline.own_methods import OwnMethods
from feed.offline.reads import SatisfiedReads
from feed.offline.score_file import ScoreFile
from feed.offline.scorebook import ScoreBook
from feed.offline.walk_plan import WalkPlan

Progress = Callable[[float, str], None]

_LOOK_S = 0.2


def evaluate_protocols(
    log: LogSource,
    plan: WalkPlan,
    *,
    embeddings: Matrix | None = None,
    scores: Path | None = None,
    methods: Sequence[str] = (),
    progress: Progress | None = None,
) -> ScoreBook:
    """Return the book of every protocol of a plan; two protocols walk side by side.

    Each protocol has its own replay and its own rankers, so the numbers are those of walking
    alone; the factors, which are the same for both, are fitted once.

    Args:
        log: the log.
        plan: window, parameters and protocols (`heads`).
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        scores: Parquet file of every score, if it is wanted.
        methods: further methods that are measured, as `module:Class`.
        progress: called with the share done (0 to 1) and what is being done.

    Raises:
        MethodError: a further method fails.
    """
    if len(plan.heads) == 1:
        with ScoreFile(scores, log) if scores else nullcontext() as file:
            book = _open_book(log, plan, file, methods, embeddings)
            return evaluate(log, plan, book, embeddings=embeddings, progress=progress)
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="feed-fits-") as fit_cache,
        spawn.Manager() as manager,
        ProcessPoolExecutor(len(plan.heads), spawn) as workers,
    ):
        shared = replace(plan, fit_cache=Path(fit_cache))
        reports = manager.Queue()
        files = [_part(scores, head) for head in plan.heads]
        tasks = [
            workers.submit(
                _walk,
                log,
                replace(shared, heads=(head,)),
                embeddings,
                file,
                tuple(methods),
                reports,
            )
            for head, file in zip(plan.heads, files, strict=True)
        ]
        shares = dict.fromkeys(plan.heads, 0.0)
        while not all(task.done() for task in tasks):
            _listen(reports, shares, progress)
        books = [task.result() for task in tasks]
    if scores is not None:
        ScoreFile.join([file for file in files if file is not None], scores)
    return books[0].merge(books[1:])


def _open_book(
    log: LogSource,
    plan: WalkPlan,
    file: ScoreFile | None,
    methods: Sequence[str],
    embeddings: Matrix | None,
) -> ScoreBook:
    dwell_s = plan.training.satisfied_dwell_s
    reads = SatisfiedReads(log, plan.start, np.inf, dwell_s)
    return ScoreBook(log, file, OwnMethods(methods, log, embeddings), reads)


def _walk(
    log: LogSource,
    plan: WalkPlan,
    embeddings: Matrix | None,
    scores: Path | None,
    methods: Sequence[str],
    reports: Queue[tuple[str, float, str]],
) -> ScoreBook:
    head = plan.heads[0]
    with ScoreFile(scores, log) if scores else nullcontext() as file:
        book = _open_book(log, plan, file, methods, embeddings)
        evaluate(
            log,
            plan,
            book,
            embeddings=embeddings,
            progress=lambda share, doing: reports.put((head, share, doing)),
        )
    return book.closed()


def _listen(
    reports: Queue[tuple[str, float, str]], shares: dict[str, float], progress: Progress | None
) -> None:
    try:
        head, share, doing = reports.get(timeout=_LOOK_S)
    except Empty:
        return
    shares[head] = share
    if progress is not None:
        progress(min(shares.values()), doing)


def _part(scores: Path | None, head: str) -> Path | None:
    return None if scores is None else scores.with_name(f"{scores.name}.{head}.part")
