"""Orders that use no history of the reader: what trends, and the newest."""

from __future__ import annotations

import numpy as np

from feed.arrays import Floats, Rows
from feed.config import HOUR_S, RankingConfig
from feed.domain import Mode, Reason, Rung
from feed.features.pool import ArticlePool
from feed.ranking.candidates import Candidates, first_eligible, known_rows, source_names, unite
from feed.ranking.context import RankingContext, build_impersonal_situation
from feed.ranking.live_index import heat
from feed.ranking.reasons import age_reason, popular_reason, trending_reason
from feed.ranking.slate import Slate, StageTimer, Trace
from feed.ranking.versions import first_versions

FRESH_HALF_LIFE_H = 24.0


def rank_latest(
    context: RankingContext, config: RankingConfig, trace: Trace, timer: StageTimer
) -> Slate:
    """Return the newest articles first; scores halve with every day of age."""
    situation = build_impersonal_situation(context, config)
    rows = first_versions(context.view.pool, situation.eligible.rows)[: config.slate_size]
    trace.note(situation.eligible)
    timer.done("candidates")
    union = unite({"fresh": rows}, context.view.pool.size, len(rows))
    reasons = tuple((age_reason(age),) for age in _ages(context, rows).tolist())
    slate = _impersonal_slate(
        context, union, _freshness(context, rows), reasons, Mode.LATEST, trace
    )
    timer.done("explanation")
    return slate


def rank_trending(
    context: RankingContext, config: RankingConfig, trace: Trace, timer: StageTimer
) -> Slate:
    """Return what trends, best first; then what is read most for its age; then the newest.

    Scores are 2 + the trending score, 1 + the share of the hottest, and the freshness: they
    tell the three parts apart and fall from each to the next.
    """
    situation = build_impersonal_situation(context, config)
    pool, eligible, size = context.view.pool, situation.eligible, config.slate_size
    trace.note(eligible)
    proposals = {
        "trending": first_eligible(
            known_rows(context.trending.ranked_rows, eligible.mask), eligible.mask, size
        ),
        "hot": first_eligible(situation.index.hot, eligible.mask, size),
        "fresh": eligible.rows[:size],
    }
    trace.proposed = {name: len(rows) for name, rows in proposals.items()}
    timer.done("candidates")
    union = _in_turn(pool, unite(proposals, pool.size, 3 * size), proposals, size)
    rows, names = union.rows, list(proposals)
    now = context.request.now
    clicks = context.signals.counters.clicks(rows, now)[:, 0]
    hot = heat(clicks, now - context.view.pool.fresh_at[rows])
    trends = union.bits >> names.index("trending") & 1
    read = union.bits >> names.index("hot") & 1
    hottest = max(float(hot[read > 0].max(initial=0.0)), 1.0)
    scores = np.where(
        trends,
        2 + context.trending.score(rows),
        np.where(read, 1 + hot / hottest, _freshness(context, rows)),
    )
    timer.done("scoring")
    reasons = _trending_reasons(context, rows)
    slate = _impersonal_slate(context, union, scores, reasons, Mode.TRENDING, trace)
    timer.done("explanation")
    return slate


def _in_turn(
    pool: ArticlePool, union: Candidates, proposals: dict[str, Rows], size: int
) -> Candidates:
    """Return the union with all of one source before the next, instead of round robin.

    Of several versions of a story, the first stays.
    """
    order = dict.fromkeys(row for rows in proposals.values() for row in rows.tolist())
    rows = first_versions(pool, np.array([*order], np.int64))[:size]
    at = {row: place for place, row in enumerate(union.rows.tolist())}
    places = np.array([at[row] for row in rows.tolist()], np.int64)
    return Candidates(union.rows[places], union.bits[places], union.proposals)


def _trending_reasons(context: RankingContext, rows: Rows) -> tuple[tuple[Reason, ...], ...]:
    readers = context.signals.counters.clicks(rows, context.request.now)[:, 1]
    ages = _ages(context, rows)
    return tuple(
        (trending_reason(context, row) or popular_reason(read) or age_reason(age),)
        for row, read, age in zip(rows.tolist(), readers.tolist(), ages.tolist(), strict=True)
    )


def _impersonal_slate(
    context: RankingContext,
    union: Candidates,
    scores: Floats,
    reasons: tuple[tuple[Reason, ...], ...],
    mode: Mode,
    trace: Trace,
) -> Slate:
    count = len(union.rows)
    trace.candidates = count
    return Slate(
        rows=union.rows,
        scores=scores,
        reasons=reasons,
        sources=tuple(source_names(bits, tuple(union.proposals)) for bits in union.bits.tolist()),
        trending=context.trending.labelled_once(union.rows),
        explored=np.zeros(count, np.bool_),
        pinned=np.zeros(count, np.bool_),
        propensities=np.ones(count),
        factors={},
        mode=mode,
        rung=Rung.LATEST if mode is Mode.LATEST else Rung.TRENDING,
        personalized=trace.left_out_for_reader,
        trace=trace,
    )


def _ages(context: RankingContext, rows: Rows) -> Floats:
    """Return seconds since publication: what a reason may say."""
    ages: Floats = context.request.now - context.view.pool.published_at[rows]
    return ages


def _freshness(context: RankingContext, rows: Rows) -> Floats:
    ages = context.request.now - context.view.pool.fresh_at[rows]
    hours = np.maximum(ages, 0.0) / HOUR_S
    return np.asarray(np.exp2(-hours / FRESH_HALF_LIFE_H), np.float64)
