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
    be drawn (sorted), `slots` the places that may be given to them (ascending), `draws` how many
    are. A draw takes `draws` of the slots and `draws` of the pool, both uniformly without
    replacement and independently, puts them together in order, and moves everything else down
    (an article of the pool that also stands further down in `ranked` moves up instead).
    No pool article stands in `ranked` above the last slot.
    """

    ranked: Rows
    pool: Rows
    slots: Rows
    draws: int

    @property
    def chance(self) -> float:
        """P(an article of the pool comes to one of the slots by the draw)."""
        return self.draws / max(len(self.slots), 1) / max(len(self.pool), 1)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One outcome: rows in order, which were explored, and P(this article at this slot)."""

    rows: Rows
    explored: Flags
    propensities: Floats


def plan_exploration(
    ranked: Rows, underexposed: Rows, config: RankingConfig, pinned_slots: Rows
) -> Exploration:
    """Return what may be explored on this slate.

    Slots are those of the first page from `explore_from` on that no pin holds, numbered as if
    pins were not there. The pool are the under-exposed articles that do not stand on the first
    page already.

    Args:
        ranked: rows best first, pinned articles left out.
        underexposed: rows, none twice, of eligible fresh articles that few readers were shown.
        config: `explore_slots`, `explore_from`, `first_page`.
        pinned_slots: slots (0-based, of the final slate) that pins hold.
    """
    open_slots = np.ones(config.first_page, np.bool_)
    open_slots[pinned_slots[pinned_slots < config.first_page]] = False
    free = np.flatnonzero(open_slots)
    slots = np.flatnonzero(free >= config.explore_from)
    slots = slots[slots <= len(ranked)]
    top = ranked[: len(free)]
    pool = np.sort(underexposed[~_flags(top, underexposed)])
    draws = max(min(config.explore_slots, len(slots), len(pool)), 0)
    return Exploration(ranked, pool, slots, draws)


def draw(plan: Exploration, rng: np.random.Generator, size: int) -> Drawn:
    """Draw the explored articles and their slots; at most `size` rows come back."""
    if plan.draws == 0:
        rows = plan.ranked[:size]
        return Drawn(rows, np.zeros(len(rows), np.bool_), np.ones(len(rows)))
    slots = np.sort(rng.choice(plan.slots, plan.draws, replace=False))
    chosen = rng.choice(plan.pool, plan.draws, replace=False)
    others = plan.ranked[~_flags(chosen, plan.ranked)]
    rows = np.empty(len(others) + plan.draws, np.int64)
    explored = np.zeros(len(rows), np.bool_)
    explored[slots] = True
    rows[explored], rows[~explored] = chosen, others
    return Drawn(rows[:size], explored[:size], slot_propensities(plan, rows[:size]))


def slot_propensities(plan: Exploration, rows: Rows) -> Floats:
    """Return P(the article comes to the slot it has in `rows`), f64 [len(rows)].

    An explored article: (draws / slots) * (1 / pool). A ranked one at place r that stands at p,
    with s- and s+ of the S slots before and after p, was moved down by the p - r drawn slots
    before it: C(s-, p-r) C(s+, m-(p-r)) / C(S, m). Below the slots, all m came before, and k of
    the drawn articles left places above r: hypergeometric in k = r + m - p. Over all articles
    these sum to 1 at every slot (up to the end of the list).
    """
    place = np.arange(len(rows))
    rank = _places(plan.ranked, rows)
    below = rank >= _first_below(plan)
    in_slots = _flags(plan.slots, place) & ((rank < 0) | below)
    above = _stay_above(plan, place, rank)
    under = _stay_below(plan, place, rank, rows)
    return np.where(in_slots, plan.chance, np.where(below, under, above))


def _first_below(plan: Exploration) -> int:
    """Return the first place of `ranked` that no drawn slot can come after."""
    return int(plan.slots[-1]) + 1 if plan.draws else 0


def _stay_above(plan: Exploration, place: Rows, rank: Rows) -> Floats:
    moved, draws = place - rank, plan.draws
    before = np.searchsorted(plan.slots, place)
    after = len(plan.slots) - np.searchsorted(plan.slots, place, side="right")
    return _hypergeometric(before, after, moved, len(plan.slots), draws)


def _stay_below(plan: Exploration, place: Rows, rank: Rows, rows: Rows) -> Floats:
    passed = np.zeros(len(plan.ranked) + 1, np.int64)
    np.cumsum(_flags(plan.pool, plan.ranked), out=passed[1:])
    before = passed[np.maximum(rank, 0)]
    others = len(plan.pool) - before - _flags(plan.pool, rows)
    left = rank + plan.draws - place
    return _hypergeometric(before, others, left, len(plan.pool), plan.draws)


def _hypergeometric(good: Rows, bad: Rows, hits: Rows, population: int, draws: int) -> Floats:
    """Return C(good, hits) C(bad, draws - hits) / C(population, draws), 0 where impossible."""
    ways = _binomials(population, draws)
    possible = (hits >= 0) & (hits <= draws)
    hits = np.where(possible, hits, 0)
    chances = ways[good, hits] * ways[bad, draws - hits] * possible
    return np.asarray(chances / ways[population, draws], np.float64)


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


def _bound(first: Rows, second: Rows) -> int:
    return int(max(first.max(initial=-1), second.max(initial=-1))) + 1
