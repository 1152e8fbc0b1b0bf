"""What each candidate is worth: the ranker's score times factors that are kept apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.config import RankingConfig
from feed.features.ids import find
from feed.features.profile import Profile, followed_of
from feed.models.feature_matrix import build_features
from feed.models.ranker import Ranker, logistic
from feed.models.schema import PLUGINS, columns_of
from feed.ranking.context import RankingContext, Situation
from feed.ranking.wish_factor import wish_factor

COLD_FOLLOW = 16.0
"""Multiplies the followed boost of a reader who follows something but has read nothing yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """What multiplies the ranker's score of each candidate, f64 [k] each; nothing here is learnt.

    `trend` in [0, 1] is the trending score behind `trend_factor`.
    """

    trend: Floats
    trend_factor: Floats
    followed_factor: Floats
    fatigue_factor: Floats
    editorial_factor: Floats
    wish_factor: Floats

    @property
    def product(self) -> Floats:
        """All factors together, f64 [k]."""
        readers = self.trend_factor * self.followed_factor * self.fatigue_factor
        return readers * self.editorial_factor * self.wish_factor


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of candidates and what they are the product of, f64 [k] each.

    `final` is `base` times the factors; `base` in (0, 1) is the ranker's, `margin` the same in
    log-odds. `trend` in [0, 1] is the trending score behind its factor. `editorial_factor` is that
    of an editor's boost, `wish_factor` that of the reader's wishes. `features` f32 [k, F].
    """

    features: Matrix
    margin: Floats
    base: Floats
    trend: Floats
    trend_factor: Floats
    followed_factor: Floats
    fatigue_factor: Floats
    editorial_factor: Floats
    wish_factor: Floats
    final: Floats


def score_candidates(
    context: RankingContext,
    situation: Situation,
    rows: Rows,
    ranker: Ranker,
    config: RankingConfig,
) -> Scores:
    """Return the scores of candidate rows: the ranker's score of each times its factors."""
    features = build_candidate_features(context, situation, rows, config)
    margin = ranker.margin(features)
    base = logistic(margin)
    factors = find_factors(context, rows, config)
    return Scores(
        features=features,
        margin=margin,
        base=base,
        trend=factors.trend,
        trend_factor=factors.trend_factor,
        followed_factor=factors.followed_factor,
        fatigue_factor=factors.fatigue_factor,
        editorial_factor=factors.editorial_factor,
        wish_factor=factors.wish_factor,
        final=base * factors.product,
    )


def build_candidate_features(
    context: RankingContext, situation: Situation, rows: Rows, config: RankingConfig
) -> Matrix:
    """Return the features of candidate rows, f32 [k, F]; those of switched-off engines are NaN."""
    features = build_features(
        context.view,
        context.signals,
        context.profile,
        context.request,
        rows,
        situation.reader,
        situation.votes if context.request.page_row < 0 else None,
    )
    mute_groups(features, config)
    return features


def find_factors(context: RankingContext, rows: Rows, config: RankingConfig) -> Factors:
    """Return the factors of candidate rows.

    The trending factor is `1 + trending_boost * trend`; the followed factor `1 + followed_boost`
    for articles of followed sections and sources; the fatigue factor `fatigue_factor` to the
    power of the showings without a click beyond `fatigue_after`; the editorial factor what an
    editor has decided; the wish factor what the reader has asked for (`ranking.wish_factor`).
    """
    trend = context.trending.score(rows)
    return Factors(
        trend=trend,
        trend_factor=1.0 + config.trending_boost * trend,
        followed_factor=_followed_factor(context, rows, config),
        fatigue_factor=_fatigue_factor(context.profile, rows, config),
        editorial_factor=context.boosts.factor(rows, context.request.now),
        wish_factor=wish_factor(context, rows),
    )


def mute_groups(features: Matrix, config: RankingConfig) -> None:
    """Make the features of engines that are switched off unknown, in place."""
    if not config.use_collaborative:
        features[:, columns_of(("collaborative",))] = np.nan
    if not config.use_content:
        features[:, columns_of(("content", "session_content"))] = np.nan
    if not config.use_plugins:
        features[:, columns_of((PLUGINS,))] = np.nan


def find_followed(context: RankingContext, rows: Rows) -> tuple[Flags, Flags]:
    """Return which rows are of a followed section, and which of a followed source."""
    return followed_of(context.view.pool, context.profile.preferences, rows)


def _followed_factor(context: RankingContext, rows: Rows, config: RankingConfig) -> Floats:
    by_section, by_source = find_followed(context, rows)
    followed = by_section | by_source
    if not followed.any():
        return np.ones(len(rows))
    boost = config.followed_boost * (COLD_FOLLOW if context.profile.is_cold else 1.0)
    return np.asarray(1.0 + boost * followed, np.float64)


def _fatigue_factor(profile: Profile, rows: Rows, config: RankingConfig) -> Floats:
    if not profile.shown_rows.size:
        return np.ones(len(rows))
    at = find(profile.shown_rows, rows)
    count = np.where(at >= 0, profile.shown_counts[at], 0.0)
    beyond = np.maximum(count - config.fatigue_after, 0.0)
    return np.asarray(config.fatigue_factor**beyond, np.float64)
