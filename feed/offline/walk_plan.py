"""WalkPlan: which lists a walk over the log measures, and which teach."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from feed.config import DAY_S, RankingConfig
from feed.training_config import TrainingConfig

HEADS = ("slate", "pool")
"""The protocols, and the learned rankers that are for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkPlan:
    """What to walk over. Times are epoch seconds; lists of [start, end) are measured.

    `WalkPlan.to_learn` makes a plan for `Walk.learn` and `Walk.fit`, which measure nothing.

    Before each `retrain_every_s` of it everything is trained again on what came before.
    `pool_every` measures the pool protocol on every n-th impression (1: all), and `earlier_every`
    again on every n-th of these, as it would have been `EARLIER_S` before (0: none);
    `learn_pool_every` rebuilds pool examples from every n-th impression of the past, with
    `negatives` unclicked candidates each, and `learn_slate_every` slate examples; with `learn_run`,
    of every n-th so many impressions in a row, which share what is made anew every few seconds.
    Lists before `learn_from` teach nothing. With `fit_ahead`, `Walk.learn` fits the next period's
    model in a thread meanwhile; the log must be in memory. Models that only show lists to the
    rankers are fitted on `most_engagements`, those of readers drawn by a hash. `heads` chooses
    protocols. Walks of the same log and training share their fits through the directory
    `fit_cache`.
    """

    start: float
    end: float
    retrain_every_s: float = DAY_S
    learn_from: float = -np.inf
    pool_every: int = 1
    earlier_every: int = 0
    learn_pool_every: int = 2
    learn_slate_every: int = 1
    learn_run: int = 1
    negatives: int = 60
    heads: tuple[str, ...] = HEADS
    threads: int = 1
    fit_cache: Path | None = None
    fit_ahead: bool = False
    most_engagements: int | None = None
    ranking: RankingConfig = field(default_factory=RankingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @classmethod
    def to_learn(cls, until: float, **rest: Any) -> WalkPlan:
        """Return a plan whose lists are all before `until` and only teach.

        Args:
            until: epoch seconds.
            rest: the other fields.
        """
        return cls(start=until, end=until, **rest)

    def first_period(self, lists_from: float) -> tuple[int, float]:
        """Return the number of the first period that lists fall into, and when they begin.

        Args:
            lists_from: when the log's first list was served, epoch seconds.
        """
        period = -int(np.ceil(self.training.ranker_days * DAY_S / self.retrain_every_s))
        first = min(max(lists_from, self.learn_from), self.start)
        begins_at = max(self.start + period * self.retrain_every_s, first)
        while self.start + period * self.retrain_every_s + self.retrain_every_s <= begins_at:
            period += 1
        return period, begins_at

    def teaches(self, number: int, every: int) -> bool:
        """Return whether an impression is among every n-th run."""
        return number // self.learn_run % every == 0
