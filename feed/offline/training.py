"""train(): from a log to a bundle with rankers, by the same walk that evaluates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from feed.arrays import Floats, Matrix
from feed.config import DAY_S, RankingConfig
from feed.domain import ArchiveError, format_time
from feed.models.bundle import ModelBundle
from feed.offline.event_log import EventLog
from feed.offline.walk import Past, Walk
from feed.offline.walk_plan import WalkPlan
from feed.training_config import TrainingConfig

HOLD_OUT_SHARE = 0.1
"""Part of the log's span that the gate holds out, at most a day ..."""
MOST_HELD_OUT = 0.25
"""... and more, up to this part, until it holds `LISTS_HELD_OUT` clicked lists."""
LISTS_HELD_OUT = 500
PERIODS = 7
"""Trainings of the factors inside the span that ranker examples come from, at most."""
LEARN_RUN = 16
"""Lists in a row that teach where not all do: the replay makes the orders of the pool and the
trending articles anew for a moment, and not for each list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLimits:
    """What bounds the cost of training, however much was logged.

    `slate_lists` clicked lists teach the slate ranker. Of more, the newest are taken; of those of
    the newest `least_span_s` seconds, every n-th. Of the lists of the same span every n-th, at most
    `pool_lists`, teaches the pool's ranker. A log of fewer than `large_log` events is trained
    with one thread, and each of its periods gets factors of its own. The factors of a period are
    fitted to about `period_engagements`, everything that some readers did.
    """

    slate_lists: int = 20_000
    pool_lists: int = 10_000
    least_span_s: float = 2 * DAY_S
    large_log: int = 1_000_000
    period_engagements: int = 250_000


LIMITS = TrainingLimits()


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A half-open span of time [start, end), epoch seconds."""

    start: float
    end: float


def hold_out(log: EventLog, live_until: float = float("-inf")) -> TimeSpan:
    """Return the newest slice of a log: what a candidate must not be trained on.

    It begins no earlier than where the live model's training ended, so that neither has seen it.

    Args:
        log: the log.
        live_until: when the live model's training window ended, epoch seconds.

    Raises:
        ArchiveError: the log holds no events.
    """
    if not np.isfinite(log.begins_at):
        raise ArchiveError("the log holds no events to train on")
    return hold_out_span(log.begins_at, log.ends_at, clicked_list_times(log), live_until)


def hold_out_span(begin: float, last: float, clicked: Floats, live_until: float) -> TimeSpan:
    """Return what `hold_out` returns of a log.

    Args:
        begin: time of the log's first event, epoch seconds.
        last: time of its last one.
        clicked: when the lists with a click were served, at least the last `LISTS_HELD_OUT` ones,
            in time order, f64.
        live_until: when the live model's training window ended.
    """
    end = last + 1.0
    start = end - min(DAY_S, HOLD_OUT_SHARE * (end - begin))
    if len(clicked):
        wanted = float(clicked[max(0, len(clicked) - LISTS_HELD_OUT)])
        start = min(start, max(wanted, end - MOST_HELD_OUT * (end - begin)))
    return TimeSpan(min(max(start, live_until), end), end)


def clicked_list_times(log: EventLog) -> Floats:
    """Return when the lists with a click were served, in time order, f64 [n]."""
    views = log.impressions
    clicks = np.concatenate([[0], np.cumsum(views.clicked)])
    return views.at[clicks[views.starts[1:]] > clicks[views.starts[:-1]]]


def train(
    log: EventLog, until: float, config: TrainingConfig, ranking: RankingConfig, **options: Any
) -> ModelBundle:
    """Return the bundle that `train_on_walk` learns; its options are the same."""
    return train_on_walk(log, until, config, ranking, **options)[0]


def train_on_walk(
    log: EventLog,
    until: float,
    config: TrainingConfig,
    ranking: RankingConfig,
    *,
    embeddings: Matrix | None = None,
    threads: int = 1,
    version: str | None = None,
    progress: Callable[[float], None] | None = None,
    limits: TrainingLimits = LIMITS,
) -> tuple[ModelBundle, Past]:
    """Return the bundle learnt from what happened before `until`, and what was replayed for it.

    The examples of the rankers are rebuilt point-in-time over the last `ranker_days`, each seen
    through factors that were trained before it. On a busy site they come from the newest of
    these days alone, seen through factors of fewer readers.

    Args:
        log: the log.
        until: epoch seconds.
        config: training parameters.
        ranking: ranking parameters, for profiles and candidates.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        threads: of training; a small log is trained with one.
        version: name; made of `until` when None.
        progress: called with the share done.
        limits: what is learnt from of a large log.
    """
    clicked = clicked_list_times(log)
    span = TimeSpan(until - config.ranker_days * DAY_S, until)
    began = examples_from(log.lists_from, clicked, span, limits)
    plan = learning_plan(
        TimeSpan(began, until),
        config,
        ranking,
        events=len(log.events.from_feed),
        lists=len(log.impressions.between(began, until)),
        clicked_lists=int(((clicked >= began) & (clicked < until)).sum()),
        threads=threads,
        limits=limits,
    )
    walk = Walk(log, plan, embeddings)
    walk.learn(progress)
    bundle = walk.fit(until)
    counts = describe_training(
        bundle,
        TimeSpan(began, until),
        config,
        log_begins_at=log.begins_at,
        events=int(np.searchsorted(log.events.columns.occurred_at, until)),
        lists=len(log.impressions.between(-np.inf, until)),
        clicked_lists=int((clicked < until).sum()),
        data=log.name,
    )
    bundle = replace(bundle, version=version or bundle.version, manifest=bundle.manifest | counts)
    return bundle, walk.past


def describe_training(
    bundle: ModelBundle,
    span: TimeSpan,
    config: TrainingConfig,
    *,
    log_begins_at: float,
    events: int,
    lists: int,
    clicked_lists: int,
    data: str,
) -> dict[str, Any]:
    """Return what the manifest says of a training: its window, what it learnt from, and how.

    Args:
        bundle: what was learnt.
        span: of the lists that taught the rankers.
        config: training parameters.
        log_begins_at: time of the log's first event, epoch seconds.
        events: engagements before the end.
        lists: lists before the end.
        clicked_lists: how many of these were clicked.
        data: name of the log.
    """
    rankers = [h for h, r in (("pool", bundle.ranker), ("slate", bundle.slate_ranker)) if r]
    window = (max(log_begins_at, span.end - config.window_days * DAY_S), span.end)
    return {
        "window": [format_time(at) for at in window],
        "events": events,
        "examples_from": format_time(span.start),
        "lists": lists,
        "clicked_lists": clicked_lists,
        "rankers": rankers,
        "parameters": {f.name: _plain(getattr(config, f.name)) for f in fields(config)},
        "data": data,
        "learnt_until": span.end,
    }


def learning_plan(
    span: TimeSpan,
    config: TrainingConfig,
    ranking: RankingConfig,
    *,
    events: int,
    lists: int,
    clicked_lists: int,
    threads: int = 1,
    limits: TrainingLimits = LIMITS,
) -> WalkPlan:
    """Return the plan by which the lists of a span teach the rankers.

    Args:
        span: from `examples_from` to the end of training.
        config: training parameters.
        ranking: ranking parameters.
        events: engagements of the whole log; a small log is trained with one thread.
        lists: how many lists lie in the span.
        clicked_lists: how many of these were clicked.
        threads: of training.
        limits: what is learnt from of a large log.
    """
    is_small = events < limits.large_log
    threads = 1 if is_small else threads
    days = max(round((span.end - span.start) / DAY_S), 1)
    periods = PERIODS if is_small else min(days, PERIODS)
    return WalkPlan.to_learn(
        span.end,
        learn_from=span.start,
        retrain_every_s=max((span.end - span.start) / periods, 60.0),
        learn_pool_every=max(1, -(-lists // limits.pool_lists)),
        learn_slate_every=max(1, -(-clicked_lists // limits.slate_lists)),
        threads=threads,
        learn_run=LEARN_RUN,
        fit_ahead=threads > 1,
        most_engagements=limits.period_engagements,
        ranking=ranking,
        training=config,
    )


def examples_from(
    lists_from: float, clicked: Floats, span: TimeSpan, limits: TrainingLimits = LIMITS
) -> float:
    """Return when the lists of a span begin that teach the rankers, epoch seconds.

    Args:
        lists_from: time of the log's first list.
        clicked: when the lists with a click were served, at least the newest of the span, one
            more than `slate_lists`; in time order, f64.
        span: where lists may teach.
        limits: of how many and which lists.
    """
    began = max(min(lists_from, span.end), span.start)
    times = clicked[(clicked >= began) & (clicked < span.end)]
    if len(times) <= limits.slate_lists:
        return began
    newest = float(times[-limits.slate_lists])
    return max(began, min(newest, span.end - limits.least_span_s))


def _plain(value: Any) -> Any:
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else value
