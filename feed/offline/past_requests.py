"""Recorded feed requests, ranked again with what was known when they were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feed.arrays import Matrix
from feed.config import RankingConfig
from feed.domain import Mode
from feed.editorial.editorial_limits import Limit, logged_limits
from feed.features.pool import ArticlePool
from feed.features.profile import preference_codes, with_preferences
from feed.features.request_context import (
    RequestContext,
    asked_languages,
    asked_section,
    device_code,
)
from feed.features.stories import StoryFinder
from feed.features.trending import TrendingDetector, TrendingState
from feed.models.view import RankingView
from feed.offline.event_log import EventLog
from feed.offline.replay import Replay, build_log_pool
from feed.preferences import Preferences, logged_wishes
from feed.ranking.context import RankingContext
from feed.ranking.live_index import LiveIndex, build_index
from feed.storage.records import ReaderState


class PastRequests:
    """Counters, trending and orders as they stood at a moment, which only moves forward.

    Args:
        log: An archive's log.
        embeddings: Vectors of its articles, f32 [articles, d].
        fresh_s: Trending and orders are made again at most so often, seconds.
    """

    def __init__(self, log: EventLog, embeddings: Matrix | None, fresh_s: float = 0.0) -> None:
        self.log = log
        self.pool: ArticlePool = build_log_pool(log, embeddings, StoryFinder())
        self._fresh_s = fresh_s
        self._replay = Replay(log, stories=self.pool.stories)
        self._detector = TrendingDetector()
        self._trending = TrendingState()
        self._index: LiveIndex | None = None
        self._indexed_at = -np.inf

    def tick(self, at: float) -> None:
        """Bring counters, trending and orders to a moment."""
        if self._index is not None and at <= self._replay.now:
            return
        self._replay.advance(at)
        if at < self._indexed_at + self._fresh_s:
            return
        counters = self._replay.signals.counters
        self._trending = self._detector.update(counters, self.pool, at, self._replay.bound)
        self._index = build_index(self.pool, counters, at)
        self._indexed_at = at

    def context(
        self,
        view: RankingView,
        record: Mapping[str, Any],
        config: RankingConfig,
        limits: tuple[Limit, ...] | None = None,
    ) -> RankingContext:
        """Return what a recorded request was decided from, seen through a model.

        Args:
            view: The pool through a model.
            record: `at`, `logged_user_id`, `page`, `device`, `section` and `language` as they were
                recorded, `limits` and `wishes` as the feed's context has them.
            config: Settings of the ranking.
            limits: Take the place of those recorded.
        """
        pool, at = view.pool, float(record["at"])
        wishes = Preferences(wishes=logged_wishes(record["wishes"]))
        stated = preference_codes(ReaderState(preferences=wishes), pool, at)
        user = self.log.users.row(record["logged_user_id"])
        return RankingContext(
            view=view,
            signals=self._replay.signals,
            trending=self._trending,
            request=RequestContext(
                now=at,
                page_row=pool.ids.row(record["page"]) if record["page"] else -1,
                device=device_code(record["device"]),
                section=asked_section(pool.sections, record["section"]),
                languages=asked_languages(pool.languages, record["language"]),
                mode=Mode.PERSONALIZED,
            ),
            rng=np.random.default_rng(0),
            profile=with_preferences(self._replay.readers.profile(user, at, config), stated),
            index=self._index,
            limits=logged_limits(record["limits"]) if limits is None else limits,
        )
