"""What readers of one article read next: decayed, bounded counts of pairs of clicks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from feed.arrays import Floats, Integers, Rows
from feed.features.ids import IdMap, look_up, sum_by_row
from feed.features.pairs import PairTable

PAIR_HALF_LIFE_S = 86400.0
"""Half-life of a pair's weight, seconds."""
GAP_HALF_LIFE_S = 7200.0
"""A pair of clicks this far apart counts half of one in the same moment, seconds."""
MAX_NEIGHBOURS = 100
"""Neighbours kept for an article; the weakest makes room for a new one."""
ARTICLES_PER_DELTA = 2_000
"""Articles whose neighbours go into one delta; of more the rest waits for the next ones."""
RECENT = 20
"""How many of a reader's last clicks speak for the next one."""
SMOOTHING = 3.0
"""Clicks added to an article's own when its pairs become shares: few clicks prove little."""


@dataclass(frozen=True, eq=False)
class CovisitVotes:
    """Votes of a reader's last clicks for other articles, one for each click and neighbour.

    `rows` int64 [v] (with repeats), `weights` f64 [v]; `clicks` int64 [v] is the place of the click
    among the given ones. A request reads the votes once and uses them in every method below.
    """

    rows: Rows
    weights: Floats
    clicks: Rows

    def scores(self, rows: Rows) -> Floats:
        """Return how strongly all clicks together speak for each of `rows`, f64 [k], >= 0."""
        return look_up(self.totals, rows)

    def scores_of(self, click: int, rows: Rows) -> Floats:
        """Return how strongly one click speaks for each of `rows`, f64 [k]."""
        mine = self.clicks == click
        return look_up(sum_by_row(self.rows[mine], self.weights[mine]), rows)

    @cached_property
    def totals(self) -> Floats:
        """The votes of all clicks by row, f64 [greatest row + 1]."""
        return sum_by_row(self.rows, self.weights)


class Covisitation:
    """Which articles have lately been clicked by the same readers, close in time.

    A click on `b` at t by a reader who clicked `a` at s adds `2^(-(t - s) / GAP_HALF_LIFE_S)` to
    both a's neighbour b and b's neighbour a; pairs halve every `PAIR_HALF_LIFE_S`.
    """

    __slots__ = ("_pairs",)

    def __init__(self, ids: IdMap) -> None:
        self._pairs = PairTable(ids, PAIR_HALF_LIFE_S, MAX_NEIGHBOURS)

    def add_click(self, row: int, at: float, previous_rows: Rows, previous_times: Floats) -> None:
        """Count a reader's first click on an article against that reader's clicks before it."""
        counts = np.array([len(previous_rows)])
        self.add_clicks(np.array([row]), np.array([at]), previous_rows, previous_times, counts)

    def add_clicks(
        self,
        rows: Rows,
        times: Floats,
        previous_rows: Rows,
        previous_times: Floats,
        counts: Integers,
    ) -> None:
        """Count readers' first clicks on articles against each reader's clicks before it.

        Args:
            rows: what was clicked, int64 [k].
            times: when, f64 [k] epoch seconds.
            previous_rows: the clicks before the first one, then those before the second ...;
                int64 [sum of counts], -1 for an unknown article.
            previous_times: when those were, f64.
            counts: how many clicks before each are given, int64 [k].
        """
        if not len(rows):
            return
        self._pairs.add_bases(rows, times)
        after, at = np.repeat(rows, counts), np.repeat(times, counts)
        other = (previous_rows != after) & (previous_rows >= 0)
        after, at, before = after[other], at[other], previous_rows[other]
        weights = np.exp2(-np.abs(at - previous_times[other]) / GAP_HALF_LIFE_S)
        self._pairs.add(
            np.concatenate([after, before]),
            np.concatenate([before, after]),
            np.tile(weights, 2),
            np.tile(at, 2),
        )

    def votes(self, recent_rows: Rows, recent_times: Floats, now: float) -> CovisitVotes:
        """Return the votes of the `RECENT` newest of some clicks.

        A vote is the share of the clicked article's readers that went to the other one, halved
        with every `PAIR_HALF_LIFE_S / 4` since the click.
        """
        newest = (-recent_times).argsort(kind="stable")[:RECENT]
        rows, times = recent_rows[newest], recent_times[newest]
        recency = np.exp2(-(now - times) / (PAIR_HALF_LIFE_S / 4))
        factors = recency / (self._pairs.bases(rows, now) + SMOOTHING)
        others, weights, places = self._pairs.votes(rows, factors, now)
        return CovisitVotes(others, weights, newest[places])

    def snapshot(self) -> Covisitation:
        """Return a copy that later clicks do not touch; neighbours are shared until written."""
        twin = object.__new__(Covisitation)
        twin._pairs = self._pairs.snapshot()
        return twin

    def dump(self) -> dict[str, Any]:
        """Return everything held, by article id, as arrays and lists of ids."""
        return self._pairs.dump()

    @property
    def has_changes(self) -> bool:
        """Whether something has changed that no `delta` has held yet."""
        return self._pairs.has_changes

    def delta(self) -> dict[str, Any]:
        """Return the articles that changed first since they were sent, in the form of `dump`."""
        return self._pairs.delta(ARTICLES_PER_DELTA)

    def pack(self, rows: Rows) -> dict[str, Any]:
        """Return what is held of some articles, in the form of `dump`."""
        return self._pairs.pack(rows)

    def apply(self, packed: Mapping[str, Any]) -> None:
        """Replace the articles of a dump or delta of another process by its values."""
        self._pairs.apply(packed)

    @classmethod
    def load(cls, ids: IdMap, packed: Mapping[str, Any]) -> Covisitation:
        """Return co-visitation holding a dump, its ids added to `ids`."""
        covisitation = cls(ids)
        covisitation.apply(packed)
        return covisitation
