"""recommend(): from one request's context to its slate. Read this first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Rows
from feed.config import RankingConfig
from feed.domain import Mode, Reason, ReasonCode, Rung
from feed.models.ranker import Ranker
from feed.ranking.candidates import SOURCES, Candidates, generate_candidates, source_names
from feed.ranking.context import RankingContext, Situation, build_situation
from feed.ranking.diversity import DiversifiedOrder, diversify
from feed.ranking.explain import Explanations, explain
from feed.ranking.explore import Drawn, draw, plan_exploration
from feed.ranking.impersonal import rank_latest, rank_trending
from feed.ranking.pins import find_pins, merge_pins
from feed.ranking.reasons import plain_reason
from feed.ranking.scoring import Scores, score_candidates
from feed.ranking.slate import Slate, StageTimer, Trace

_EXPLORATION_BIT = list(SOURCES).index("exploration")


def recommend(
    context: RankingContext,
    config: RankingConfig,
    clock: Callable[[], float] | None = None,
) -> Slate:
    """Return the ranked slate of one request.

    `personalized`: candidates of every source -> score -> diversity -> pins -> exploration ->
    reasons. `trending` and `latest`: an order that knows nothing of the reader; the profile is
    not touched, nothing is pinned or explored.

    Args:
        context: articles, signals, reader, request and the generator of chance.
        config: every parameter.
        clock: seconds, if the trace shall say how long each stage took.
    """
    trace = Trace()
    timer = StageTimer(trace, clock)
    if context.request.mode is Mode.LATEST:
        return rank_latest(context, config, trace, timer)
    if context.request.mode is Mode.TRENDING:
        return rank_trending(context, config, trace, timer)
    return _rank_for_reader(context, config, trace, timer)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """What the stages after scoring share: candidates are pins first, then the union.

    `bits` are those of `Candidates`, 0 for pins.
    """

    rows: Rows
    bits: Rows
    scores: Scores
    order: DiversifiedOrder
    pin_slots: Rows


def _rank_for_reader(
    context: RankingContext, config: RankingConfig, trace: Trace, timer: StageTimer
) -> Slate:
    situation = build_situation(context, config)
    trace.dropped, trace.eligible = situation.eligible.dropped, situation.eligible.count
    timer.done("eligibility")
    pin_rows, pin_slots = find_pins(context, config.slate_size)
    candidates = generate_candidates(context, situation, config)
    rows, bits = _put_first(pin_rows, candidates)
    trace.proposed, trace.candidates = candidates.counts, len(rows)
    timer.done("candidates")
    ranker = context.choose_ranker(config)
    scores = score_candidates(context, situation, rows, ranker, config)
    timer.done("scoring")
    order = _diversify(context, rows, scores, config, len(pin_rows))
    trace.duplicates = len(order.duplicates)
    timer.done("diversity")
    ranked = _Ranked(rows, bits, scores, order, pin_slots)
    drawn, pinned = _place(context, ranked, config, trace)
    timer.done("exploration")
    slate = _build_slate(context, situation, ranked, drawn, pinned, ranker, config, trace)
    timer.done("explanation")
    return slate


def _put_first(pin_rows: Rows, candidates: Candidates) -> tuple[Rows, Rows]:
    if not pin_rows.size:
        return candidates.rows, candidates.bits
    others = ~np.isin(candidates.rows, pin_rows)
    rows = np.concatenate([pin_rows, candidates.rows[others]])
    return rows, np.concatenate([np.zeros(len(pin_rows), np.int64), candidates.bits[others]])


def _diversify(
    context: RankingContext, rows: Rows, scores: Scores, config: RankingConfig, pins: int
) -> DiversifiedOrder:
    view = context.view
    return diversify(
        scores.final,
        view.pool.section[rows],
        view.pool.source[rows],
        view.content[rows],
        config,
        config.slate_size,
        pins,
    )


def _place(
    context: RankingContext, ranked: _Ranked, config: RankingConfig, trace: Trace
) -> tuple[Drawn, Flags]:
    """Draw the exploration among the others and set the pins; rows here are candidate positions.

    Exploration is drawn last of all that moves anything, so its propensities are exact.
    """
    pins = len(ranked.pin_slots)
    order = ranked.order.order
    explorable = _explorable(ranked, pins)
    free = config.slate_size - pins
    plan = plan_exploration(order[:free], explorable, config, ranked.pin_slots)
    trace.explore_pool = len(plan.pool)
    trace.explore_rows, trace.explore_chance = ranked.rows[plan.pool], plan.chance
    drawn = draw(plan, context.rng, free)
    pinned, settled = merge_pins(len(drawn.rows) + pins, ranked.pin_slots)
    count = len(pinned)
    at, explored, propensities = np.empty(count, np.int64), pinned.copy(), np.ones(count)
    at[settled] = np.arange(pins)
    at[~pinned] = drawn.rows
    explored[pinned], explored[~pinned] = False, drawn.explored
    propensities[~pinned] = drawn.propensities
    return Drawn(at, explored, propensities), pinned


def _explorable(ranked: _Ranked, pins: int) -> Rows:
    """Return the positions of candidates that the exploration source proposed."""
    flags = (ranked.bits >> _EXPLORATION_BIT & 1).astype(np.bool_)
    flags[:pins] = False
    flags[ranked.order.duplicates] = False
    return np.flatnonzero(flags)


def _build_slate(
    context: RankingContext,
    situation: Situation,
    ranked: _Ranked,
    drawn: Drawn,
    pinned: Flags,
    ranker: Ranker,
    config: RankingConfig,
    trace: Trace,
) -> Slate:
    at, scores = drawn.rows, ranked.scores
    explained = explain(context, scores, ranked.rows, at, ranker, config, situation)
    diversity = np.ones(len(ranked.rows))
    diversity[ranked.order.order] = ranked.order.decay
    rows = ranked.rows[at]
    return Slate(
        rows=rows,
        scores=scores.final[at] * diversity[at],
        reasons=_final_reasons(explained.reasons, drawn.explored, pinned),
        sources=tuple([source_names(bits) or ("pins",) for bits in ranked.bits[at].tolist()]),
        trending=context.trending.labelled(rows),
        explored=drawn.explored,
        pinned=pinned,
        propensities=drawn.propensities,
        factors={
            "ranker": scores.base[at],
            "trending": scores.trend_factor[at],
            "followed": scores.followed_factor[at],
            "fatigue": scores.fatigue_factor[at],
            "diversity": diversity[at],
        },
        mode=context.request.mode,
        rung=_rung(context),
        personalized=_is_personalized(explained, trace),
        trace=trace,
    )


def _final_reasons(
    reasons: list[tuple[Reason, ...]], explored: Flags, pinned: Flags
) -> tuple[tuple[Reason, ...], ...]:
    """Put the pin or the draw first where that is why an article stands there."""
    for i in np.flatnonzero(explored).tolist():
        reasons[i] = (plain_reason(ReasonCode.EXPLORE),)
    for i in np.flatnonzero(pinned).tolist():
        reasons[i] = (plain_reason(ReasonCode.EDITORS_PICK),)
    return tuple(reasons)


def _rung(context: RankingContext) -> Rung:
    has_model = context.view.bundle.version != "none"
    return Rung.PERSONALIZED if has_model else Rung.WITHOUT_MODEL


def _is_personalized(explained: Explanations, trace: Trace) -> bool:
    personal_rules = ("read", "hidden", "muted_section", "muted_source")
    removed = sum(trace.dropped.get(rule, 0) for rule in personal_rules)
    return explained.personal or removed > 0
