"""Exploration: a few slots drawn by chance, last, with the exact propensity of every slot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from feed.arrays import Flags, Floats, Rows
from feed.config import RankingConfig


@dataclass(frozen=True, slots=True, eq=False)
class Exploration:
    """What may be drawn, before anything is: the whole distribution is in these numbers.

    `ranked` is the deterministic order (rows, pinned articles left out), `pool` the rows that may
    be drawn (those that stand in `ranked` first, in its order), `slots` the places that may be
    given to them (ascending), `draws` how many are, `inclusion` the probability of each row of the
    pool to be drawn, f64 [pool], whose sum is `draws`. A draw takes `draws` of the slots uniformly
    without replacement and, independently, `draws` of the pool, deals these to those by chance, and
    moves everything else down (an article of the pool that also stands further down in `ranked`
    moves up instead). No pool article stands in `ranked` above the last slot.
    """

    ranked: Rows
    pool: Rows
    slots: Rows
    draws: int
    inclusion: Floats

    @property
    def chances(self) -> Floats:
        """P(each article of the pool comes to a given slot by the draw), f64 [pool]."""
        return self.inclusion / max(len(self.slots), 1)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One outcome: rows in order, which were explored, and P(this article at this slot)."""

    rows: Rows
    explored: Flags
    propensities: Floats


def plan_exploration(
    ranked: Rows, underexposed: Rows, needs: Floats, config: RankingConfig, pinned_slots: Rows
) -> Exploration:
    """Return what may be explored on this slate.

    Slots are those of the first page from `explore_from` on that no pin holds, numbered as if
    pins were not there. The pool are the under-exposed articles that do not stand on the first
    page already.

    Args:
        ranked: rows best first, pinned articles left out.
        underexposed: rows, none twice, of eligible fresh articles that few readers were shown.
        needs: how much each of them needs to be shown, f64 [underexposed], all above 0; articles
            are drawn in proportion.
        config: `explore_slots`, `explore_from`, `first_page`.
        pinned_slots: slots (0-based, of the final slate) that pins hold.
    """
    open_slots = np.ones(config.first_page, np.bool_)
    open_slots[pinned_slots[pinned_slots < config.first_page]] = False
    free = open_slots.nonzero()[0]
    slots: Rows = (free >= config.explore_from).nonzero()[0]
    slots = slots[slots <= len(ranked)]
    rank = _places(ranked, underexposed)
    turns = np.where(rank < 0, len(ranked) + underexposed, rank)
    order = turns.argsort()[np.count_nonzero((rank >= 0) & (rank < len(free))) :]
    draws = max(min(config.explore_slots, len(slots), len(order)), 0)
    return Exploration(
        ranked, underexposed[order], slots, draws, include_by_need(needs[order], draws)
    )


def include_by_need(needs: Floats, draws: int) -> Floats:
    """Return the probability of each article to be among those drawn, f64 [k].

    It is in proportion to the need, and at most 1: what the neediest would have above it goes to
    the others in the same proportion.

    Args:
        needs: f64 [k], all above 0.
        draws: how many are drawn, 0 to k.
    """
    order = (-needs).argsort(kind="stable")
    sorted_needs = needs[order]
    rest = sorted_needs[::-1].cumsum()[::-1]
    certain = np.count_nonzero(sorted_needs * (draws - np.arange(len(needs))) >= rest)
    chances = np.ones(len(needs))
    chances[order[certain:]] = (draws - certain) * sorted_needs[certain:] / rest[certain:][:1]
    return np.minimum(chances, 1.0)


def draw(plan: Exploration, rng: np.random.Generator, size: int) -> Drawn:
    """Draw the explored articles and their slots; at most `size` rows come back."""
    if plan.draws == 0:
        rows = plan.ranked[:size]
        return Drawn(rows, np.zeros(len(rows), np.bool_), np.ones(len(rows)))
    slots = _draw_slots(plan, rng)
    chosen = plan.pool[draw_systematically(plan.inclusion, plan.draws, rng)]
    if plan.draws > 1:
        chosen = rng.permutation(chosen)
    others = plan.ranked[~_flags(chosen, plan.ranked)]
    rows = np.empty(len(others) + plan.draws, np.int64)
    explored = np.zeros(len(rows), np.bool_)
    explored[slots] = True
    rows[explored], rows[~explored] = chosen, others
    return Drawn(rows[:size], explored[:size], slot_propensities(plan, rows[:size]))


def _draw_slots(plan: Exploration, rng: np.random.Generator) -> Rows:
    """Return `draws` of the slots, uniformly; for one, which is usual, that takes half as long."""
    if plan.draws == 1:
        return plan.slots[rng.integers(len(plan.slots), size=1)]
    return rng.choice(plan.slots, plan.draws, replace=False)


def draw_systematically(inclusion: Floats, draws: int, rng: np.random.Generator) -> Rows:
    """Return the places of the articles drawn, ascending, int64 [draws].

    The probabilities lie end to end on a line, and `draws` points, at a random start and 1 apart,
    hit those that are drawn. So each is drawn with exactly its probability, and never twice
    (systematic sampling: Madow, On the Theory of Systematic Sampling II, 1949).

    Args:
        inclusion: f64 [k], each at most 1, whose sum is `draws`.
        draws: how many, 1 to k.
        rng: draws the start.
    """
    steps = np.arange(draws)
    hit = inclusion.cumsum().searchsorted(rng.random() + steps, side="right") - steps
    # Rounding moves the ends by 1e-16; no article must be hit twice, nor a point miss the line.
    hit = np.minimum(np.maximum.accumulate(hit), len(inclusion) - draws)
    return np.asarray(hit + steps, np.int64)


def slot_propensities(plan: Exploration, rows: Rows) -> Floats:
    """Return P(the article comes to the slot it has in `rows`), f64 [len(rows)].

    An explored article: its inclusion / slots. A ranked one at place r that stands at p, with s-
    and s+ of the S slots before and after p, was moved down by the p - r drawn slots before it:
    C(s-, p-r) C(s+, m-(p-r)) / C(S, m). Below the slots, all m came before, and k = r + m - p of
    the drawn articles left places above r, while it was not drawn itself: the length of the starts
    of the systematic draw that say so. Over all articles these sum to 1 at every slot (up to the
    end of the list).
    """
    place = np.arange(len(rows))
    rank = _places(plan.ranked, rows)
    below = rank >= _first_below(plan)
    in_slots = np.zeros(len(rows), np.bool_)
    in_slots[plan.slots[plan.slots < len(rows)]] = True
    in_slots &= (rank < 0) | below
    above = _stay_above(plan, place, rank)
    under = _stay_below(plan, place, rank)
    drawn = _values(plan.pool, plan.chances, rows)
    return np.where(in_slots, drawn, np.where(below, under, above))


def _first_below(plan: Exploration) -> int:
    """Return the first place of `ranked` that no drawn slot can come after."""
    return int(plan.slots[-1]) + 1 if len(plan.slots) else 0


def _stay_above(plan: Exploration, place: Rows, rank: Rows) -> Floats:
    """Return C(before, moved) C(after, draws - moved) / C(slots, draws), 0 where impossible."""
    moved, draws = place - rank, plan.draws
    before = plan.slots.searchsorted(place)
    after = len(plan.slots) - plan.slots.searchsorted(place, side="right")
    ways = _binomials(len(plan.slots), draws)
    possible = (moved >= 0) & (moved <= draws)
    moved = np.where(possible, moved, 0)
    chances = ways[before, moved] * ways[after, draws - moved] * possible
    return np.asarray(chances / ways[len(plan.slots), draws], np.float64)


def _stay_below(plan: Exploration, place: Rows, rank: Rows) -> Floats:
    """Return P(just enough of the articles ranked above are drawn, and this one is not).

    Its part of the line is `begin` to `end`. With the start u, as many points as the least whole
    number from `begin` - u on lie before it. That this is `left` at both ends has the length of
    u from `end` - left to `begin` - left + 1, within 0 to 1.
    """
    line = np.zeros(len(plan.ranked) + 1)
    np.cumsum(_values(plan.pool, plan.inclusion, plan.ranked), out=line[1:])
    begin, end = line[rank], line[rank + 1]
    left = rank + plan.draws - place
    chances = np.minimum(begin - left + 1.0, 1.0) - np.maximum(end - left, 0.0)
    return np.asarray(np.maximum(chances, 0.0), np.float64)


@lru_cache(maxsize=256)
def _binomials(most: int, draws: int) -> Floats:
    """Return C(n, k) for n to `most` and k to `draws`, f64 [most + 1, draws + 1]."""
    table = special.binom(np.arange(most + 1)[:, None], np.arange(draws + 1)[None, :])
    return np.asarray(table, np.float64)


def _flags(members: Rows, rows: Rows) -> Flags:
    """Return which rows are members; rows are small numbers, so a table is the fastest way."""
    table = np.zeros(_bound(members, rows), np.bool_)
    table[members] = True
    return table[rows]


def _places(ranked: Rows, rows: Rows) -> Rows:
    """Return the place of each row in `ranked`, -1 where it does not stand."""
    table = np.full(_bound(ranked, rows), -1, np.int64)
    table[ranked] = np.arange(len(ranked))
    return table[rows]


def _values(members: Rows, values: Floats, rows: Rows) -> Floats:
    """Return the value of each row, 0 where it is no member."""
    table = np.zeros(_bound(members, rows))
    table[members] = values
    return table[rows]


def _bound(first: Rows, second: Rows) -> int:
    return max(int(first.max(initial=-1)), int(second.max(initial=-1))) + 1
