"""What the trending boost is worth: the pool in replay, by strength and half-life."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from feed.arrays import Floats, Matrix, Rows
from feed.config import RankingConfig
from feed.features.trending import TrendingDetector, TrendingState
from feed.models.ranker import LinearRanker, Ranker
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.log_source import LogSource
from feed.offline.pool_protocol import TRENDING_S
from feed.offline.ranking_metrics import MeanEstimate, bootstrap_mean
from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
"""Values of `trending_boost` that are tried."""
HALF_LIVES_MINUTES = (30.0, 120.0)
"""Values of `trending_half_life_minutes` that are tried."""
RANKERS = ("learned", "day-one")
"""Rankers whose scores are boosted: the trees of the period, and the weights of day one."""
TOP = 10
"""How much of each list is looked at."""
RISING = 0.1
"""An article with a trending score above this counts as rising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostPoint:
    """One point of the curve.

    `ndcg` is pool nDCG@10 and `gain` its paired difference from the same ranker without a boost;
    `articles` counts the distinct articles in any first ten, `rising` and `labelled` are the
    shares of the first ten whose trending score is above `RISING`, and that carry the label.
    """

    ranker: str
    half_life_minutes: float
    boost: float
    ndcg: MeanEstimate
    gain: MeanEstimate
    articles: int
    rising: float
    labelled: float


def sweep_boost(
    log: LogSource,
    plan: WalkPlan,
    *,
    embeddings: Matrix | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[BoostPoint]:
    """Return the curve over the plan's window; models learn from what precedes each period.

    Args:
        log: the log.
        plan: window and parameters; only the pool is walked, its own boost is not used.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        progress: called with the share done.
    """
    ranking = replace(plan.ranking, trending_boost=0.0)
    plan = replace(plan, heads=("pool",), ranking=ranking)
    book = BoostBook(ranking)
    walk = Walk(log, plan, embeddings, book)
    with ThreadPoolExecutor(1) as trainer:
        walk.evaluate(trainer, progress)
    return book.curve()


@dataclass(slots=True)
class _Curve:
    """One setting's sums: nDCG@10 per list, articles shown, and what of the first ten trends."""

    ndcg: list[float] = field(default_factory=list)
    shown: set[int] = field(default_factory=set)
    rising: float = 0.0
    labelled: float = 0.0

    def add(self, rows: Rows, trending: TrendingState, wanted: Rows) -> None:
        discount = 1.0 / np.log2(np.arange(2, TOP + 2))
        ideal = discount[: min(len(wanted), TOP)].sum()
        self.ndcg.append(float(discount[: len(rows)] @ np.isin(rows, wanted) / ideal))
        self.shown.update(rows.tolist())
        self.rising += float((trending.score(rows) > RISING).mean())
        self.labelled += float(trending.labelled(rows).mean())


class BoostBook:
    """Orders each list once per setting: the score without trend, times each trending factor."""

    def __init__(self, ranking: RankingConfig) -> None:
        self._day_one = LinearRanker(ranking.weights)
        self._detectors = {
            minutes: TrendingDetector(replace(ranking, trending_half_life_minutes=minutes))
            for minutes in HALF_LIVES_MINUTES
        }
        self._trending: dict[float, TrendingState] = {}
        self._rankers: Rankers = {}
        self._users: list[int] = []
        self._curves = {
            setting: _Curve() for setting in product(RANKERS, HALF_LIVES_MINUTES, STRENGTHS)
        }

    def use_rankers(self, rankers: Rankers) -> None:
        """Score what is added from now on with these, once they are trained."""
        self._rankers = rankers

    def add_slate(self, entry: SlateList) -> None:
        """Slates are not boosted."""

    def flush(self) -> None:
        """Nothing waits."""

    def add_pool(self, entry: PoolList) -> None:
        """Take one list of the pool protocol, whose factors hold no boost."""
        context, rows = entry.found.context, entry.found.rows
        now, counters = context.request.now, context.signals.counters
        self._users.append(entry.seen.user)
        for minutes, detector in self._detectors.items():
            if minutes not in self._trending or now - self._trending[minutes].at >= TRENDING_S:
                self._trending[minutes] = detector.update(counters, context.view.pool, now)
        for name, ranker in zip(RANKERS, (self._learned(), self._day_one), strict=True):
            base = ranker.score(entry.features) * entry.factors
            for minutes, trending in self._trending.items():
                trend = trending.score(rows)
                for boost in STRENGTHS:
                    top = np.argsort(-base * (1.0 + boost * trend), kind="stable")[:TOP]
                    self._curves[name, minutes, boost].add(rows[top], trending, entry.wanted)

    def curve(self) -> list[BoostPoint]:
        """Return the points."""
        who = np.array(self._users, np.int64)
        return [
            BoostPoint(
                ranker=name,
                half_life_minutes=minutes,
                boost=boost,
                ndcg=bootstrap_mean(np.array(found.ndcg), who),
                gain=bootstrap_mean(self._gain(name, minutes, boost), who),
                articles=len(found.shown),
                rising=found.rising / max(len(who), 1),
                labelled=found.labelled / max(len(who), 1),
            )
            for (name, minutes, boost), found in self._curves.items()
        ]

    def _gain(self, name: str, minutes: float, boost: float) -> Floats:
        found, without = self._curves[name, minutes, boost], self._curves[name, minutes, 0.0]
        gain: Floats = np.array(found.ndcg) - np.array(without.ndcg)
        return gain

    def _learned(self) -> Ranker:
        future = self._rankers.get("pool")
        return (None if future is None else future.result()) or self._day_one


def choose(points: Sequence[BoostPoint], ranker: str = RANKERS[0]) -> BoostPoint:
    """Return the point of greatest nDCG@10 of one ranker, the weakest boost among equals."""
    mine = [point for point in points if point.ranker == ranker]
    return max(mine, key=lambda point: (round(point.ndcg.mean, 4), -point.boost))
