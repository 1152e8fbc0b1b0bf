"""Parameters of the rankers, compared by a split in time inside the past."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from feed.arrays import Matrix
from feed.offline.examples import Examples
from feed.offline.log_source import LogSource
from feed.offline.ranker_training import fit_ranker
from feed.offline.ranking_metrics import auc, ndcg_at, sort_lists
from feed.offline.walk import Walk
from feed.offline.walk_plan import HEADS, WalkPlan
from feed.training_config import TrainingConfig

LEAVES = (15, 31, 63)
"""Sizes of a tree that are tried."""
PACES = ((100, 0.1), (150, 0.06), (250, 0.04), (300, 0.06))
"""Numbers of trees with learning rates: three ways to go about as far, one to go twice as far."""
GRID: tuple[dict[str, Any], ...] = tuple(
    {"ranker_leaves": leaves, "ranker_trees": trees, "ranker_learning_rate": rate}
    for leaves in LEAVES
    for trees, rate in PACES
)
"""Every setting that is tried."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of one head's parameters with its measures on the later lists."""

    head: str
    parameters: dict[str, Any]
    auc: float
    ndcg: float
    lists: int


def rebuild_examples(
    log: LogSource,
    start: float,
    until: float,
    config: TrainingConfig,
    embeddings: Matrix | None = None,
    progress: Callable[[float], None] | None = None,
) -> Walk:
    """Return the walk over [start, until) with its examples; nothing at or after `until` is seen.

    Args:
        log: the log.
        start: epoch seconds from which examples are rebuilt.
        until: epoch seconds.
        config: parameters of everything but the grid's.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        progress: called with the share done.
    """
    days = replace(config, ranker_days=max((until - start) / 86400.0, 0.1))
    walk = Walk(log, WalkPlan.to_learn(until, training=days), embeddings)
    walk.learn(progress)
    return walk


def tune(
    walk: Walk,
    split: float,
    until: float,
    config: TrainingConfig,
    threads: int = 1,
    grid: Sequence[dict[str, Any]] = GRID,
) -> Iterator[Trial]:
    """Yield every setting of a grid for each head: taught before `split`, measured after.

    In the pool, lists are a click among sampled candidates: its numbers compare settings with
    each other, and are far above those of a whole pool.
    """
    for head in HEADS:
        earlier, later = walk.examples(head, split), walk.examples(head, until, split)
        for chosen in grid:
            yield _try(head, chosen, earlier, later, replace(config, **chosen), threads)


def _try(
    head: str,
    chosen: dict[str, Any],
    earlier: Examples,
    later: Examples,
    config: TrainingConfig,
    threads: int,
) -> Trial:
    ranker = fit_ranker(earlier, head, config, threads)
    if ranker is None or not len(later):
        return Trial(head, chosen, float("nan"), float("nan"), 0)
    ranked = sort_lists(ranker.margin(later.features), later.clicked, later.sizes)
    values = auc(ranked), ndcg_at(ranked, 10)
    return Trial(head, chosen, float(values[0].mean()), float(values[1].mean()), len(later))
