"""RankingContext: everything one feed request is decided from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.config import RankingConfig
from feed.domain import Pin
from feed.editorial.editorial_limits import Limit
from feed.features.covisitation import CovisitVotes
from feed.features.profile import (
    EMPTY_PROFILE,
    NO_PREFERENCES,
    PreferenceCodes,
    Profile,
    stated_profile,
)
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.features.trending import TrendingState
from feed.models.ranker import Ranker, default_ranker
from feed.models.reader_vectors import ReaderVectors, build_reader_vectors
from feed.models.view import PackedVectors, RankingView
from feed.ranking.boosted_rows import NO_BOOSTS, BoostedRows
from feed.ranking.eligibility import Eligibility, find_eligible
from feed.ranking.live_index import LiveIndex, build_index


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RankingContext:
    """The articles, what all readers do, one reader, and one request. Immutable but for `rng`.

    Attributes:
        view: articles seen through a model.
        signals: counters and co-visitation.
        trending: the worker's trending state, in the rows of `view`.
        request: time, mode, page and filters.
        profile: the reader; read in mode `personalized` only.
        rng: where exploration draws from.
        index: the orders of this snapshot; made here when None (make it once per snapshot).
        pins: editors' picks, honoured in mode `personalized` only.
        limits: the newsroom's, on front pages; honoured in mode `personalized` only.
        ranker: replaces the model's ranker.
        withdrawn: rows that must not be shown although the snapshot has them live (retracted
            since).
        boosts: articles that editors boost or bury, in mode `personalized` only.
        preferences: stated preferences that hold in the modes that touch no profile: languages, and
            what is muted.
    """

    view: RankingView
    signals: LiveSignals
    trending: TrendingState
    request: RequestContext
    rng: np.random.Generator
    profile: Profile = EMPTY_PROFILE
    index: LiveIndex | None = None
    pins: tuple[Pin, ...] = ()
    limits: tuple[Limit, ...] = ()
    ranker: Ranker | None = None
    withdrawn: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    boosts: BoostedRows = NO_BOOSTS
    preferences: PreferenceCodes = NO_PREFERENCES
    with_reasons: bool = True

    def choose_ranker(self, config: RankingConfig) -> Ranker:
        """Return the learned ranker if there is one and it is wanted, else the linear one."""
        if self.ranker is not None:
            return self.ranker
        if config.use_ranker and self.view.bundle.ranker is not None:
            return self.view.bundle.ranker
        return default_ranker(config.weights)


@dataclass(frozen=True, eq=False)
class Situation:
    """What the candidate sources share, computed once per request.

    `recent_rows` and `recent_at` are the page's article (if any) and the reader's last clicks,
    newest first, `votes` what co-visitation makes of them. `searched` holds the vectors of the
    rows whose vectors are searched.
    """

    page_row: int
    index: LiveIndex
    eligible: Eligibility
    reader: ReaderVectors
    recent_rows: Rows
    recent_at: Floats
    votes: CovisitVotes
    searched: PackedVectors

    @cached_property
    def allowed(self) -> Flags:
        """Which of the rows searched are eligible, bool [searched]."""
        return self.eligible.mask[self.searched.rows]

    @cached_property
    def content_vectors(self) -> dict[str, Matrix]:
        """The "long", "session" and "page" content vectors that there are, f32 [d]."""
        vectors = {
            "long": self.reader.content_long,
            "session": self.reader.content_session,
            "page": self.reader.content_of(self.page_row),
        }
        return {name: vector for name, vector in vectors.items() if vector is not None}


def build_situation(context: RankingContext, config: RankingConfig) -> Situation:
    """Return what a personalised request starts from."""
    eligible, index = _find_eligible(context, config, context.profile)
    recent_rows, recent_at = recent_clicks(context)
    reader = build_reader_vectors(context.view, context.profile)
    return Situation(
        page_row=context.request.page_row,
        index=index,
        eligible=eligible,
        reader=reader,
        recent_rows=recent_rows,
        recent_at=recent_at,
        votes=context.signals.covisitation.votes(recent_rows, recent_at, context.request.now),
        searched=context.view.pack(index.searched),
    )


def build_impersonal_situation(context: RankingContext, config: RankingConfig) -> Situation:
    """Return what an impersonal request starts from: stated preferences count, no history does."""
    stated = stated_profile(context.preferences)
    eligible, index = _find_eligible(context, config, stated)
    reader = build_reader_vectors(context.view, EMPTY_PROFILE)
    none = np.empty(0, np.int64)
    return Situation(
        page_row=context.request.page_row,
        index=index,
        eligible=eligible,
        reader=reader,
        recent_rows=none,
        recent_at=np.empty(0),
        votes=CovisitVotes(none, np.empty(0), none),
        searched=context.view.pack(index.searched),
    )


def recent_clicks(context: RankingContext) -> tuple[Rows, Floats]:
    """Return the page's article, as if clicked now, and the reader's last clicks before it."""
    rows, at = context.profile.clicked_rows, context.profile.clicked_at
    page = context.request.page_row
    if page < 0:
        return rows, at
    others = rows != page
    return np.r_[page, rows[others]], np.r_[context.request.now, at[others]]


def _find_eligible(
    context: RankingContext, config: RankingConfig, profile: Profile | None
) -> tuple[Eligibility, LiveIndex]:
    pool, request = context.view.pool, context.request
    index = context.index or build_index(pool, context.signals.counters, request.now)
    return find_eligible(pool, index, request, profile, config, context.withdrawn), index
