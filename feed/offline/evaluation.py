"""evaluate(): both protocols over a window of the log, with models trained only on the past."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from feed.arrays import Matrix
from feed.offline.log_source import LogSource
from feed.offline.scorebook import ScoreBook
from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan


def evaluate(
    log: LogSource,
    plan: WalkPlan,
    book: ScoreBook,
    *,
    embeddings: Matrix | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> ScoreBook:
    """Walk the log, train before each period, score each impression; return the book filled.

    Training of the learned rankers, and scoring by them, run beside the replay of the period
    they are for.

    Args:
        log: the log.
        plan: window and parameters.
        book: where scores and metrics go.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        progress: called with the share done (0 to 1) and what is being done.
    """
    walk = Walk(log, plan, embeddings, book)
    measured_from = (plan.start - walk.learn_from) / max(plan.end - walk.learn_from, 1.0)

    def tell(share: float) -> None:
        if progress is not None:
            progress(share, "measuring" if share >= measured_from else "learning")

    with ThreadPoolExecutor(1) as trainer:
        book.score_beside(trainer)
        walk.evaluate(trainer, tell)
        book.finish()
    return book
