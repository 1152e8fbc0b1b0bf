"""The pool protocol: for one impression, what the feed itself would have ranked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Rows
from feed.config import RankingConfig
from feed.features.pool import ArticlePool
from feed.features.profile import Profile
from feed.features.request_context import RequestContext
from feed.features.trending import TrendingDetector, TrendingState, build_state
from feed.models.view import RankingView
from feed.offline.replay import Replay
from feed.ranking.candidates import SOURCES, unite
from feed.ranking.context import RankingContext, Situation, build_situation
from feed.ranking.live_index import LiveIndex, build_index

INDEX_S = 10.0
"""Age at which the orders shared by requests are made again, as a web process does."""
TRENDING_S = 60.0
"""Age at which the trending state is computed again, as the worker does."""
NO_AGE_LIMIT_HOURS = 1e7
"""The pool is defined by what was shown, not by age."""


@dataclass(frozen=True, slots=True)
class PoolCandidates:
    """One impression's candidates and what each source proposed.

    `rows` is the capped union; `proposals` the rows of each source, best first; `pool_size` the
    articles that could have been shown; `eligible` marks them, bool by article row.
    """

    context: RankingContext
    situation: Situation
    rows: Rows
    proposals: dict[str, Rows]
    pool_size: int
    eligible: npt.NDArray[np.bool_]


class PoolOrders:
    """Which articles could be shown just now, their orders, and what trends.

    None of it depends on a reader or a model. It is made anew as often as the service does.
    """

    def __init__(self, replay: Replay, config: RankingConfig) -> None:
        self._replay = replay
        self._detector = TrendingDetector(config)
        self.trending: TrendingState = build_state(-np.inf, (), replay.signals.ids)
        self.live: Flags = np.zeros(0, np.bool_)
        self.index: LiveIndex | None = None
        self._indexed_at = -np.inf

    def refresh(self, pool: ArticlePool, now: float, *, anew: bool = False) -> None:
        """Make what is too old again; with `anew`, whatever is older than this moment is."""
        if now - self._indexed_at < INDEX_S and not (anew and now > self._indexed_at):
            return
        self.live = np.zeros(pool.size, np.bool_)
        self.live[self._replay.pool_rows()] = True
        pool = replace(pool, live=self.live)
        counters = self._replay.signals.counters
        self.index = build_index(pool, counters, now, self.index)
        self._indexed_at = now
        if now - self.trending.at >= TRENDING_S:
            self.trending = self._detector.update(counters, pool, now)


class PoolProtocol:
    """Makes candidates by the code that serves, over the articles a replay says could be shown.

    The pool of an impression: every article shown to anybody in the 48 h before it, less what
    the reader has clicked. A clicked article outside the pool counts as missed.
    """

    def __init__(
        self, replay: Replay, config: RankingConfig, beside: PoolProtocol | None = None
    ) -> None:
        """Begin at the replay's present moment.

        Args:
            replay: says what could be shown.
            config: ranking parameters.
            beside: the protocol of another model that sees the same lists; what does not depend
                on the model is made once for both.
        """
        self._replay = replay
        self._config = replace(config, max_age_hours=NO_AGE_LIMIT_HOURS)
        self.orders: PoolOrders = PoolOrders(replay, config) if beside is None else beside.orders
        self._view: RankingView | None = None
        self._index: LiveIndex | None = None
        self._rng = np.random.default_rng(0)

    def candidates(
        self, view: RankingView, profile: Profile, request: RequestContext
    ) -> PoolCandidates:
        """Return the candidates of one impression at the replay's present moment."""
        return find_pool_candidates(self.context(view, profile, request), self._config)

    def context(
        self, view: RankingView, profile: Profile, request: RequestContext
    ) -> RankingContext:
        """Return the ranking context of one impression."""
        view = self._refresh(view, request.now)
        return RankingContext(
            view=view,
            signals=self._replay.signals,
            trending=self.orders.trending,
            request=request,
            rng=self._rng,
            profile=profile,
            index=self._index,
        )

    def _refresh(self, view: RankingView, now: float) -> RankingView:
        """Return the view of a model in which what could be shown now is live."""
        held = self._view if self._view and self._view.bundle is view.bundle else None
        self.orders.refresh(view.pool, now, anew=held is None)
        if held is None or self._index is not self.orders.index:
            held = self._view = view.with_live(self.orders.live, held)
            self._index = self.orders.index
        return held


def find_pool_candidates(context: RankingContext, config: RankingConfig) -> PoolCandidates:
    """Return the candidates of one context, whatever the age of the articles that live in it."""
    if config.max_age_hours != NO_AGE_LIMIT_HOURS:
        config = replace(config, max_age_hours=NO_AGE_LIMIT_HOURS)
    situation = build_situation(context, config)
    proposals = {
        name: source(context, situation, config, config.candidates_per_source)
        for name, source in SOURCES.items()
    }
    united = unite(proposals, context.view.pool.size, config.candidate_cap)
    return PoolCandidates(
        context=context,
        situation=situation,
        rows=united.rows,
        proposals=proposals,
        pool_size=situation.eligible.count,
        eligible=situation.eligible.mask,
    )
