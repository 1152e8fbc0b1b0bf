"""The newsroom's limits on a front page: which articles they count, and the order that keeps them.

The draw of exploration comes after the order and moves articles down, so what it may draw is chosen
before it: whichever slots and articles are drawn, the limits hold. A minimum is met in the places
that no draw can push out of its window; an article whose group has no room left for every draw is
not in the pool. Both are known before anything is drawn, so propensities stay exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from feed.arrays import Codes, Flags, Rows
from feed.config import HOUR_S, RankingConfig
from feed.editorial.editorial_limits import Limit, LimitOf
from feed.features.ids import first_of_each
from feed.features.languages import matching_codes
from feed.features.pool import ArticlePool
from feed.ranking.candidates import SOURCES, Candidates
from feed.ranking.context import RankingContext, Situation
from feed.ranking.limited_order import Cap, Minimum, keep_limits

ADDED_BIT = 1 << len(SOURCES)
ADDED_SOURCE = "limits"
"""Source of articles that became candidates for a limit's sake."""
SPARE = 10
"""Articles added beyond those that a limit needs, so that the best of them can stand there."""


@dataclass(frozen=True, slots=True)
class LimitState:
    """What became of one limit on one front page.

    Attributes:
        limit: The limit.
        met: Whether the front page keeps it.
        moved: How many articles it raised into its slots, or moved out of them.
    """

    limit: Limit
    met: bool
    moved: int


@dataclass(frozen=True, slots=True, eq=False)
class LimitedPlan:
    """The order that keeps the limits whatever exploration draws.

    Attributes:
        ranked: Candidates that are not pinned, best first, int64 [n].
        explorable: Those of them that may be drawn.
        explore_from: First slot that may be drawn for.
        raised: By candidate: the number of the minimum because of which it stands where it does.
        moved: How many articles each limit moved.
    """

    ranked: Rows
    explorable: Rows
    explore_from: int
    raised: dict[int, int]
    moved: list[int]


def groups_of(limit: Limit, pool: ArticlePool, rows: Rows, now: float) -> Codes:
    """Return to which group of a limit each article belongs, -1 to none, int [k].

    For a minimum an article counts for each of its sections, for a cap for its own alone.
    """
    if limit.of is LimitOf.AGE:
        is_older = now - pool.fresh_at[rows] > limit.hours * HOUR_S
        return np.where(is_older == limit.is_cap, 0, -1)
    if limit.of in (LimitOf.AI_GENERATED, LimitOf.SPONSORED):
        flags: Flags = getattr(pool, limit.of.value)[rows]
        return np.where(flags, 0, -1)
    codes: Codes = getattr(pool, limit.of.value)[rows]
    if not limit.value:
        return codes
    if limit.of is LimitOf.LANGUAGE:
        wanted = matching_codes(pool.languages, [limit.value])
        return np.where(np.isin(codes, wanted), 0, -1)
    if limit.of is LimitOf.SOURCE:
        code = pool.sources.row(limit.value)
    else:
        code = pool.sections.row(limit.value)
    if limit.of is LimitOf.SECTION and not limit.is_cap:
        return np.where(pool.stand_in(rows, [code] if code >= 0 else []), 0, -1)
    return np.where((codes == code) & (code >= 0), 0, -1)


def is_met(limit: Limit, groups: Codes) -> bool:
    """Return whether a front page keeps a limit, given the groups of its articles in order."""
    counts = np.bincount(groups[: limit.within][groups[: limit.within] >= 0], minlength=1)
    if not limit.is_cap:
        return int(counts[0]) >= limit.count
    return int(counts.max()) <= limit.most_of(min(limit.within, len(groups)))


def add_wanted(
    context: RankingContext, situation: Situation, candidates: Candidates, pin_rows: Rows
) -> Candidates:
    """Return the candidates with those added without which a limit could not be kept.

    They are the most read of the last hours, then the newest, of what the reader may be shown. An
    order of the snapshot is bounded, so a limit that nothing meets costs the same in any catalogue.
    """
    pool, now = context.view.pool, context.request.now
    for limit in context.limits:
        rows = candidates.rows[~np.isin(candidates.rows, pin_rows)]
        missing, full = _lacking(limit, groups_of(limit, pool, rows, now))
        if missing <= 0:
            continue
        found = first_of_each(
            np.concatenate([situation.index.popular[1], situation.index.searched]), pool.size
        )
        found = found[situation.eligible.mask[found] & ~np.isin(found, rows)]
        fits = _fits(limit, groups_of(limit, pool, found, now), full)
        new = found[fits][: missing + SPARE]
        candidates = Candidates(
            np.concatenate([candidates.rows, new]),
            np.concatenate([candidates.bits, np.full(len(new), ADDED_BIT, np.int64)]),
            candidates.proposals,
        )
    return candidates


def bring_back(context: RankingContext, rows: Rows, kept: Rows, left_out: Rows) -> Rows:
    """Return what was kept and, below it, what was left out but is needed to keep a limit.

    Args:
        context: the limits, the articles and the time.
        rows: of all candidates.
        kept: positions of candidates, best first.
        left_out: positions of others, likewise.
    """
    pool, now = context.view.pool, context.request.now
    for limit in context.limits:
        missing, full = _lacking(limit, groups_of(limit, pool, rows[kept], now))
        if missing > 0:
            fits = _fits(limit, groups_of(limit, pool, rows[left_out], now), full)
            needed = left_out[fits][:missing]
            kept = np.concatenate([kept, needed])
            left_out = left_out[~np.isin(left_out, needed)]
    return kept


def _lacking(limit: Limit, groups: Codes) -> tuple[int, Rows]:
    """Return how many more articles a limit needs, and the groups for which a cap has no room."""
    counts = np.bincount(groups[groups >= 0], minlength=1)
    if not limit.is_cap:
        return limit.count - int(counts[0]), np.empty(0, np.int64)
    over = counts - limit.most_of(limit.within)
    missing = limit.within - (len(groups) - int(over[over > 0].sum()))
    return missing, np.flatnonzero(over >= 0)


def _fits(limit: Limit, groups: Codes, full: Rows) -> Flags:
    """Return which articles help to keep a limit that needs more."""
    return np.asarray(~np.isin(groups, full) if limit.is_cap else groups >= 0, np.bool_)


def plan_limits(
    context: RankingContext,
    rows: Rows,
    ranked: Rows,
    explorable: Rows,
    pin_slots: Rows,
    config: RankingConfig,
) -> LimitedPlan:
    """Return the order of the candidates that keeps the limits, and what may be explored in it.

    Args:
        context: the limits, the articles and the time.
        rows: of all candidates, the pins first.
        ranked: candidates that are not pinned, best first.
        explorable: candidates that exploration may draw.
        pin_slots: where the pins belong, ascending.
        config: `explore_slots`, `explore_from`, `first_page`, `slate_size`.
    """
    if not context.limits:
        return LimitedPlan(ranked, explorable, config.explore_from, {}, [])
    return _Planner(context, rows, ranked, explorable, pin_slots, config).plan()


def states_of(
    limits: Sequence[Limit], moved: Sequence[int], pool: ArticlePool, rows: Rows, now: float
) -> tuple[LimitState, ...]:
    """Return what became of each limit on a front page of these articles."""
    return tuple(
        LimitState(limit, is_met(limit, groups_of(limit, pool, rows, now)), count)
        for limit, count in zip(limits, moved, strict=True)
    )


class _Planner:
    def __init__(
        self,
        context: RankingContext,
        rows: Rows,
        ranked: Rows,
        explorable: Rows,
        pin_slots: Rows,
        config: RankingConfig,
    ) -> None:
        pool, now = context.view.pool, context.request.now
        self._limits = context.limits
        self._groups = [groups_of(limit, pool, rows, now) for limit in context.limits]
        self._ranked, self._explorable = ranked, explorable
        self._pins, self._config = len(pin_slots), config
        self._count = min(len(ranked) + self._pins, config.slate_size)
        # As `place_pins` does: where the others do not fill the slots before a pin, it moves up.
        self._pin_slots = np.minimum(pin_slots, self._count - self._pins + np.arange(self._pins))
        self._draws = config.explore_slots if len(explorable) else 0
        is_open = np.ones(config.first_page, np.bool_)
        is_open[pin_slots[pin_slots < config.first_page]] = False
        self._open = np.flatnonzero(is_open)

    def plan(self) -> LimitedPlan:
        ends = [self._free_places(limit.within) for limit in self._limits]
        pinned = [self._pinned_in(number) for number in range(len(self._limits))]
        needed = [
            0 if limit.is_cap else max(limit.count - int(np.count_nonzero(of_pins >= 0)), 0)
            for limit, of_pins in zip(self._limits, pinned, strict=True)
        ]
        explore_from = self._first_slot_to_explore(ends, needed)
        caps, minimums = dict[int, Cap](), dict[int, Minimum]()
        for number, limit in enumerate(self._limits):
            groups = self._groups[number]
            if limit.is_cap:
                most = limit.most_of(min(limit.within, self._count))
                used = np.bincount(pinned[number][pinned[number] >= 0], minlength=1)
                of_pins = {group: int(count) for group, count in enumerate(used) if count}
                caps[number] = Cap(groups.tolist(), most, ends[number], of_pins)
            elif needed[number]:
                pushed = self._draws_within(ends[number], explore_from)
                members = (groups >= 0).tolist()
                minimums[number] = Minimum(members, needed[number], ends[number] - pushed)
        found = keep_limits(self._ranked, list(caps.values()), list(minimums.values()))
        moved = [0] * len(self._limits)
        for number, count in zip(caps, found.held_back, strict=True):
            moved[number] = count
        numbers = list(minimums)
        raised = {at: numbers[place] for at, place in found.raised.items()}
        for number in raised.values():
            moved[number] += 1
        explorable = self._still_explorable(found.order, ends, pinned, explore_from)
        return LimitedPlan(found.order, explorable, explore_from, raised, moved)

    def _free_places(self, within: int) -> int:
        """Return how many of the first slots no pin holds."""
        return min(within, self._count) - int(np.count_nonzero(self._pin_slots < within))

    def _pinned_in(self, number: int) -> Codes:
        """Return the groups of the pins in a limit's window."""
        inside = np.flatnonzero(self._pin_slots < self._limits[number].within)
        return self._groups[number][inside]

    def _first_slot_to_explore(self, ends: list[int], needed: list[int]) -> int:
        """Return from which slot on to explore: after windows in which no slot can be spared."""
        first = self._config.explore_from
        for end in ends:
            asked = sum(n for n, other in zip(needed, ends, strict=True) if other <= end)
            if asked and asked > end - self._draws_within(end, first):
                after = self._open[end:]
                first = max(first, int(after[0]) if after.size else self._config.first_page)
        return first

    def _draws_within(self, end: int, explore_from: int) -> int:
        """Return how many of the first free places may be drawn for, at most."""
        return min(self._draws, int(np.count_nonzero(self._open[:end] >= explore_from)))

    def _still_explorable(
        self, order: Rows, ends: list[int], pinned: list[Codes], explore_from: int
    ) -> Rows:
        """Return what may be drawn without any draw breaking a cap."""
        allowed = np.ones(len(self._explorable), np.bool_)
        for number, limit in enumerate(self._limits):
            end = ends[number]
            if not limit.is_cap or not self._draws_within(end, explore_from):
                continue
            groups = self._groups[number]
            inside = np.concatenate([pinned[number], groups[order[: max(end - 1, 0)]]])
            counts = np.bincount(inside[inside >= 0], minlength=int(groups.max(initial=0)) + 1)
            most = limit.most_of(min(limit.within, self._count))
            own = groups[self._explorable]
            allowed &= (own < 0) | (counts[own] + self._draws_within(end, explore_from) <= most)
        return self._explorable[allowed]


def explore_config(config: RankingConfig, plan: LimitedPlan) -> RankingConfig:
    """Return the settings with which exploration keeps the limits."""
    if plan.explore_from == config.explore_from:
        return config
    return replace(config, explore_from=plan.explore_from)
