"""train(): from a log to a bundle with rankers, by the same walk that evaluates."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from feed.config import DAY_S, RankingConfig, TrainingConfig
from feed.domain import ArchiveError, format_time
from feed.models.bundle import ModelBundle
from feed.offline.event_log import EventLog
from feed.offline.walk import Walk, WalkPlan

Matrix = npt.NDArray[np.float32]

HOLD_OUT_SHARE = 0.15
"""Part of the log's span that the gate holds out, at most a day."""
PERIODS = 7
"""Trainings of the factors inside the window that ranker examples come from."""


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span of time [start, end), epoch seconds."""

    start: float
    end: float


def hold_out(log: EventLog) -> Window:
    """Return the newest slice of a log, which a candidate must not be trained on.

    Raises:
        ArchiveError: the log holds no events.
    """
    times = [t for t in (log.impressions.at, log.events.columns.occurred_at) if len(t)]
    if not times:
        raise ArchiveError("the log holds no events to train on")
    begin = min(float(t[0]) for t in times)
    end = max(float(t[-1]) for t in times) + 1.0
    return Window(end - min(DAY_S, HOLD_OUT_SHARE * (end - begin)), end)


def train(
    log: EventLog,
    until: float,
    config: TrainingConfig,
    ranking: RankingConfig,
    *,
    embeddings: Matrix | None = None,
    threads: int = 1,
    version: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> ModelBundle:
    """Return the bundle learnt from what happened before `until`.

    The examples of the rankers are rebuilt point-in-time over the last `ranker_days`, each seen
    through factors that were trained before it.

    Args:
        log: the log.
        until: epoch seconds.
        config: training parameters.
        ranking: ranking parameters, for profiles and candidates.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        threads: of training.
        version: name; made of `until` when None.
        progress: called with the share done.
    """
    began = max(float(log.impressions.at.min(initial=until)), until - config.ranker_days * DAY_S)
    plan = WalkPlan(
        start=until,
        end=until,
        retrain_every_s=max((until - began) / PERIODS, 60.0),
        learn_pool_every=1,
        threads=threads,
        ranking=ranking,
        training=config,
    )
    walk = Walk(log, plan, embeddings)
    span = log.impressions.between(walk.learn_from, until)
    with ThreadPoolExecutor(1) as trainer:
        for place, impression in enumerate(span):
            walk.take(impression, trainer)
            if progress is not None and place % 200 == 0:
                progress(place / len(span))
    bundle = walk.fit(until)
    name = version or f"v{format_time(until)[:19].replace(':', '').replace('-', '')}"
    counts = {
        "events": int(np.searchsorted(log.events.columns.occurred_at, until)),
        "lists": len(span),
        "rankers": [h for h, r in (("pool", bundle.ranker), ("slate", bundle.slate_ranker)) if r],
        "parameters": _parameters(config),
        "data": log.name,
        "learnt_until": until,
    }
    return replace(bundle, version=name, manifest=bundle.manifest | counts)


def _parameters(config: TrainingConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in TrainingConfig.__dataclass_fields__}
