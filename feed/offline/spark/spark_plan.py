"""What a training on Spark does with a log: the plan that the local training would make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed.config import DAY_S, RankingConfig
from feed.offline.gate import MAX_LISTS
from feed.offline.spark.spark_log import SparkLog
from feed.offline.training import (
    LIMITS,
    LISTS_HELD_OUT,
    TimeSpan,
    TrainingLimits,
    examples_from,
    hold_out_span,
    learning_plan,
)
from feed.offline.walk_plan import WalkPlan
from feed.training_config import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkPlan:
    """What a training on Spark does with a log.

    Attributes:
        window: What is held out for the gate; training ends where it begins.
        walk: Which lists teach, and how.
        learn_from: When the lists that teach begin, epoch seconds.
        periods: When the factors are fitted through which these are seen.
        judged_every: Of the lists held out every n-th is judged.
    """

    window: TimeSpan
    walk: WalkPlan
    learn_from: float
    periods: tuple[float, ...]
    judged_every: int


def make_plan(
    log: SparkLog,
    live_until: float,
    config: TrainingConfig,
    ranking: RankingConfig,
    threads: int = 1,
    limits: TrainingLimits = LIMITS,
) -> SparkPlan:
    """Return the plan that the local training would make of the same log.

    Args:
        log: the log.
        live_until: when the live model's training ended, -inf without one.
        config: training parameters.
        ranking: ranking parameters.
        threads: of what the driver does alone.
        limits: what is learnt from of a large log.
    """
    facts = log.facts
    newest = log.clicked_times(-np.inf, np.inf, LISTS_HELD_OUT)
    window = hold_out_span(facts.begins_at, facts.ends_at, newest, live_until)
    until = window.start
    span = TimeSpan(until - config.ranker_days * DAY_S, until)
    clicked = log.clicked_times(span.start, until, limits.slate_lists + 1)
    began = examples_from(facts.lists_from, clicked, span, limits)
    walk = learning_plan(
        TimeSpan(began, until),
        config,
        ranking,
        events=log.count_events(-np.inf, np.inf),
        lists=log.count_lists(began, until),
        clicked_lists=log.count_lists(began, until, clicked=True),
        threads=threads,
        limits=limits,
    )
    period, learn_from = walk.first_period(facts.lists_from)
    return SparkPlan(
        window=window,
        walk=walk,
        learn_from=learn_from,
        periods=tuple(until + n * walk.retrain_every_s for n in range(period, 0)),
        judged_every=max(1, -(-log.count_lists(window.start, window.end) // MAX_LISTS)),
    )
