"""The pool protocol: for one impression, what the feed itself would have ranked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from feed.arrays import Rows
from feed.config import RankingConfig
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


class PoolProtocol:
    """Makes candidates by the code that serves, over the articles a replay says could be shown.

    The pool of an impression: every article shown to anybody in the 48 h before it, less what
    the reader has clicked. A clicked article outside the pool counts as missed.
    """

    def __init__(self, replay: Replay, config: RankingConfig) -> None:
        self._replay = replay
        self._config = config
        self._detector = TrendingDetector(config)
        self._trending: TrendingState = build_state(-np.inf, (), replay.signals.ids)
        self._index: LiveIndex | None = None
        self._indexed_at = -np.inf
        self._view: RankingView | None = None
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
        self._refresh(view, request.now)
        assert self._view is not None  # noqa: S101 - made by _refresh
        return RankingContext(
            view=self._view,
            signals=self._replay.signals,
            trending=self._trending,
            request=request,
            rng=self._rng,
            profile=profile,
            index=self._index,
        )

    def _refresh(self, view: RankingView, now: float) -> None:
        same_model = self._view is not None and self._view.bundle is view.bundle
        if same_model and now - self._indexed_at < INDEX_S:
            return
        live = np.zeros(view.pool.size, bool)
        live[self._replay.pool_rows()] = True
        self._view = view.with_live(live, self._view)
        counters = self._replay.signals.counters
        self._index = build_index(self._view.pool, counters, now, self._index)
        self._indexed_at = now
        if now - self._trending.at >= TRENDING_S:
            self._trending = self._detector.update(
                self._replay.signals.counters, self._view.pool, now
            )


def find_pool_candidates(context: RankingContext, config: RankingConfig) -> PoolCandidates:
    """Return the candidates of one context, whatever the age of the articles that live in it."""
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
