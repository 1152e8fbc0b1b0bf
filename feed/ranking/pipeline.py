"""recommend(): from one request's context to its slate. Read this first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from feed.arrays import Floats, Rows
from feed.config import RankingConfig
from feed.domain import Mode, Reason, ReasonCode, Rung
from feed.models.ranker import Ranker
from feed.ranking.calibration import Calibrated, calibrate, is_calibrated
from feed.ranking.candidates import SOURCES, Candidates, generate_candidates, source_names
from feed.ranking.context import RankingContext, Situation, build_situation
from feed.ranking.diversity import DiversifiedOrder, diversify
from feed.ranking.explain import Explanations, explain
from feed.ranking.exploration_need import exploration_need
from feed.ranking.explore import Exploration, draw, plan_exploration
from feed.ranking.front_page_limits import (
    ADDED_SOURCE,
    LimitedPlan,
    add_wanted,
    explore_config,
    plan_limits,
    states_of,
)
from feed.ranking.impersonal import rank_latest, rank_trending
from feed.ranking.pins import Placed, find_pins, place_pins
from feed.ranking.plugin_steps import (
    HAS_RULES,
    SOURCE_REASONS,
    with_source_reasons,
)
from feed.ranking.reasons import limit_reason, mixture_reason, moved_on_reason, plain_reason
from feed.ranking.ruled_order import rule_order
from feed.ranking.scoring import Scores, score_candidates
from feed.ranking.slate import Slate, StageTimer, Trace
from feed.ranking.versions import ChosenVersions, choose_versions, follow_ups

_EXPLORATION_BIT = list(SOURCES).index("exploration")
_SOURCE_NAMES = (*SOURCES, ADDED_SOURCE)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ranking:
    """What the stages of one personalised request found: its slate is built from this alone.

    Positions are those of `candidates`, of which the first `len(pin_slots)` are the pins.
    `calibrated` is `order` with its first page calibrated. `explorable` are those that may be drawn
    before any limit is looked at, `limited` is the order that keeps the newsroom's limits, `plan`
    what could be drawn by chance, `placed` what stands at each slot.
    """

    context: RankingContext
    config: RankingConfig
    situation: Situation
    candidates: Candidates
    ranker: Ranker
    scores: Scores
    versions: ChosenVersions
    order: DiversifiedOrder
    calibrated: Calibrated
    pin_slots: Rows
    explorable: Rows
    limited: LimitedPlan
    plan: Exploration
    placed: Placed
    explained: Explanations
    trace: Trace

    @property
    def final(self) -> Floats:
        """Scores of all candidates, with what they gain as versions of a story, f64 [k]."""
        return self.scores.final * self.versions.factor

    def factors(self, at: Rows) -> dict[str, Floats]:
        """Return what the scores of candidates are the product of, by name, f64 [k] each.

        Story is what an article gains that stands for better versions of its story. Diversity is
        what the decays left of the score; 1 for what was not ordered.
        """
        scores, diversity = self.scores, np.ones(len(self.candidates.rows))
        diversity[self.order.order] = self.order.decay
        return {
            "ranker": scores.base[at],
            "trending": scores.trend_factor[at],
            "followed": scores.followed_factor[at],
            "fatigue": scores.fatigue_factor[at],
            "editorial": scores.editorial_factor[at],
            "wishes": scores.wish_factor[at],
            "story": self.versions.factor[at],
            "diversity": diversity[at],
        }


def recommend(
    context: RankingContext,
    config: RankingConfig,
    clock: Callable[[], float] | None = None,
) -> Slate:
    """Return the ranked slate of one request.

    `personalized`: candidates of every source -> score -> diversity -> calibration -> limits ->
    exploration -> pins -> reasons. `trending` and `latest`: an order that knows nothing of the
    reader; the profile is not touched, nothing is calibrated, pinned, limited or explored.

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
    slate = build_slate(rank_in_stages(context, config, trace, timer))
    timer.done("explanation")
    return slate


def rank_in_stages(
    context: RankingContext, config: RankingConfig, trace: Trace, timer: StageTimer
) -> Ranking:
    """Rank for the reader of a request; return what every stage found.

    Args:
        context: a request in mode `personalized`.
        config: every parameter.
        trace: where the stages write their counts.
        timer: where they write their times.
    """
    situation = build_situation(context, config)
    trace.note(situation.eligible)
    timer.done("eligibility")
    pin_rows, pin_slots = find_pins(context, config.slate_size)
    candidates = generate_candidates(context, situation, config)
    candidates = add_wanted(context, situation, candidates, pin_rows)
    candidates = _put_first(context, pin_rows, candidates)
    trace.proposed, trace.candidates = candidates.counts, len(candidates.rows)
    timer.done("candidates")
    ranker = context.choose_ranker(config)
    scores = score_candidates(context, situation, candidates.rows, ranker, config)
    timer.done("scoring")
    versions = choose_versions(
        context.view.pool, context.profile, candidates.rows, scores.final, len(pin_rows)
    )
    order = _diversify(context, candidates.rows, scores, versions, config, len(pin_rows))
    trace.duplicates = len(order.duplicates)
    final, index = scores.final * versions.factor, situation.index
    calibrated = calibrate(context, index, candidates.rows, final, order, pin_slots, config)
    timer.done("diversity")
    explorable = _explorable(candidates, scores, order, len(pin_slots))
    ranked = calibrated.order.order
    if HAS_RULES and config.use_plugins:
        ranked = rule_order(context, candidates.rows, final, ranked)
        explorable = explorable[~np.isin(explorable, np.setdiff1d(order.order, ranked))]
    limited = plan_limits(context, candidates.rows, ranked, explorable, pin_slots, config)
    plan = _plan(context, candidates, limited, pin_slots, config, trace)
    free = config.slate_size - len(pin_slots)
    placed = place_pins(draw(plan, context.rng, free), pin_slots)
    pool, now = context.view.pool, context.request.now
    rows = candidates.rows[placed.at]
    trace.limits = states_of(context.limits, limited.moved, pool, rows, now)
    timer.done("exploration")
    explained = explain(context, scores, candidates.rows, placed.at, ranker, config, situation)
    return Ranking(
        context=context,
        config=config,
        situation=situation,
        candidates=candidates,
        ranker=ranker,
        scores=scores,
        versions=versions,
        order=order,
        calibrated=calibrated,
        pin_slots=pin_slots,
        explorable=explorable,
        limited=limited,
        plan=plan,
        placed=placed,
        explained=explained,
        trace=trace,
    )


def _put_first(context: RankingContext, pin_rows: Rows, candidates: Candidates) -> Candidates:
    """Return the candidates with the pins before them; a pin has no source, so its bits are 0.

    A pin also takes the place of the twin that would be shown without it.
    """
    if not pin_rows.size:
        return candidates
    leaders = context.view.pool.leaders_of(pin_rows)
    others = ~np.isin(candidates.rows, np.concatenate([pin_rows, leaders]))
    rows = np.concatenate([pin_rows, candidates.rows[others]])
    bits = np.concatenate([np.zeros(len(pin_rows), np.int64), candidates.bits[others]])
    return Candidates(rows, bits, candidates.proposals)


def _diversify(
    context: RankingContext,
    rows: Rows,
    scores: Scores,
    versions: ChosenVersions,
    config: RankingConfig,
    pins: int,
) -> DiversifiedOrder:
    view = context.view
    stories = view.pool.stories
    return diversify(
        scores.final * versions.factor,
        view.pool.section[rows],
        view.pool.source[rows],
        view.content[rows],
        config,
        len(rows) if context.limits or is_calibrated(context, config) else config.slate_size,
        pins,
        None if stories is None else stories.series[rows],
        versions.dropped,
    )


def _plan(
    context: RankingContext,
    candidates: Candidates,
    limited: LimitedPlan,
    pin_slots: Rows,
    config: RankingConfig,
    trace: Trace,
) -> Exploration:
    """Return what may be drawn among the articles that are not pinned.

    The draw and the pins are the last stage that moves anything, so the propensities are exact.
    """
    ranked = limited.ranked[: config.slate_size - len(pin_slots)]
    config = explore_config(config, limited)
    needs = np.ones(len(limited.explorable))
    if config.explore_by_need:
        counters, rows = context.signals.counters, candidates.rows[limited.explorable]
        needs = exploration_need(counters, rows, context.request.now)
    plan = plan_exploration(ranked, limited.explorable, needs, config, pin_slots)
    trace.explore_pool = len(plan.pool)
    trace.explore_rows, trace.explore_chances = candidates.rows[plan.pool], plan.chances
    return plan


def _explorable(candidates: Candidates, scores: Scores, order: DiversifiedOrder, pins: int) -> Rows:
    """Return the positions of candidates that the exploration source proposed.

    What an editor has buried is not drawn.
    """
    flags = (candidates.bits >> _EXPLORATION_BIT & 1).astype(np.bool_)
    flags[:pins] = False
    flags[order.duplicates] = False
    flags[scores.editorial_factor < 1.0] = False
    explorable: Rows = flags.nonzero()[0]
    return explorable


def build_slate(ranking: Ranking) -> Slate:
    """Return the slate that a ranking comes to."""
    context, candidates = ranking.context, ranking.candidates
    placed, explained = ranking.placed, ranking.explained
    at, rows = placed.at, candidates.rows[placed.at]
    factors = ranking.factors(at)
    sources = tuple([_sources_of(bits) for bits in candidates.bits[at].tolist()])
    return Slate(
        rows=rows,
        scores=ranking.final[at] * factors["diversity"],
        reasons=_final_reasons(ranking, sources),
        sources=sources,
        trending=context.trending.labelled_once(rows),
        explored=placed.explored,
        pinned=placed.pinned,
        propensities=placed.propensities,
        factors=factors,
        mode=context.request.mode,
        rung=_rung(context),
        personalized=ranking.calibrated.is_personal
        or explained.personal
        or ranking.trace.left_out_for_reader,
        trace=ranking.trace,
    )


@lru_cache(maxsize=4096)
def _sources_of(bits: int) -> tuple[str, ...]:
    return source_names(bits, _SOURCE_NAMES) or ("pins",)


def _final_reasons(
    ranking: Ranking, sources: tuple[tuple[str, ...], ...]
) -> tuple[tuple[Reason, ...], ...]:
    """Put first why an article stands there if that is calibration, a limit, a draw or a pin.

    What continues a story that was read says so before anything else.
    """
    reasons, placed, raised = [*ranking.explained.reasons], ranking.placed, ranking.limited.raised
    if SOURCE_REASONS and ranking.context.with_reasons:
        reasons = with_source_reasons(sources, reasons)
    reasons = _with_mixture(ranking, _with_follow_ups(ranking, reasons))
    for i, at in enumerate(placed.at.tolist() if raised else ()):
        if at in raised:
            reasons[i] = (limit_reason(ranking.context.limits[raised[at]]),)
    for i in placed.explored.nonzero()[0].tolist():
        reasons[i] = (plain_reason(ReasonCode.EXPLORE),)
    for i in placed.pinned.nonzero()[0].tolist():
        reasons[i] = (plain_reason(ReasonCode.EDITORS_PICK),)
    return tuple(reasons)


def _with_follow_ups(
    ranking: Ranking, reasons: list[tuple[Reason, ...]]
) -> list[tuple[Reason, ...]]:
    context = ranking.context
    rows, pool = ranking.candidates.rows[ranking.placed.at], context.view.pool
    read = follow_ups(pool, context.profile, rows) if context.with_reasons else {}
    for i, row in enumerate(rows.tolist() if read else ()):
        if row in read:
            reasons[i] = (moved_on_reason(pool.ids.ids[read[row]]), *reasons[i][:1])
    return reasons


def _with_mixture(ranking: Ranking, reasons: list[tuple[Reason, ...]]) -> list[tuple[Reason, ...]]:
    mixture = ranking.calibrated.mixture if ranking.context.with_reasons else None
    raised = {*ranking.calibrated.raised.tolist()} if mixture else set()
    for i, at in enumerate(ranking.placed.at.tolist() if raised else ()):
        if mixture is not None and at in raised:
            row = int(ranking.candidates.rows[at])
            own = bool(mixture.own[ranking.context.view.pool.section[row]])
            reasons[i] = (mixture_reason(ranking.context, row, is_own=own), *reasons[i][:1])
    return reasons


def _rung(context: RankingContext) -> Rung:
    has_model = context.view.bundle.version != "none"
    return Rung.PERSONALIZED if has_model else Rung.WITHOUT_MODEL
