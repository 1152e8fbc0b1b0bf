"""What readers of one article read next: decayed, bounded counts of pairs of clicks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.features.ids import IdMap
from feed.features.pairs import PairTable

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

PAIR_HALF_LIFE_S = 86400.0
"""Half-life of a pair's weight, seconds."""
GAP_HALF_LIFE_S = 7200.0
"""A pair of clicks this far apart counts half of one in the same moment, seconds."""
MAX_NEIGHBOURS = 100
"""Neighbours kept for an article; the weakest makes room for a new one."""
RECENT = 20
"""How many of a reader's last clicks speak for the next one."""
SMOOTHING = 3.0
"""Clicks added to an article's own when its pairs become shares: few clicks prove little."""


class Covisitation:
    """Which articles are clicked by the same readers, near in time, lately.

    A click on `b` at t by a reader who clicked `a` at s adds `2^(-(t - s) / GAP_HALF_LIFE_S)` to
    both a's neighbour b and b's neighbour a; pairs halve every `PAIR_HALF_LIFE_S`.
    """

    __slots__ = ("_pairs",)

    def __init__(self, ids: IdMap) -> None:
        self._pairs = PairTable(ids, PAIR_HALF_LIFE_S, MAX_NEIGHBOURS)

    def add_click(self, row: int, at: float, previous_rows: Rows, previous_times: Floats) -> None:
        """Count a reader's first click on an article against that reader's clicks before it."""
        self._pairs.add_base(row, at)
        other = (previous_rows != row) & (previous_rows >= 0)
        rows = previous_rows[other]
        weights = np.exp2(-np.abs(at - previous_times[other]) / GAP_HALF_LIFE_S)
        self._pairs.add_both_ways(row, rows, weights, at)

    def scores(self, recent_rows: Rows, recent_times: Floats, rows: Rows, now: float) -> Floats:
        """Return how strongly the last clicks speak for each of `rows`, f64 [k], >= 0.

        The sum over the last clicks of the share of a clicked article's readers that went to the
        candidate, halved with every `PAIR_HALF_LIFE_S / 4` since the click.
        """
        others, weights = self._votes(recent_rows, recent_times, now)
        if not len(others):
            return np.zeros(len(rows))
        size = max(int(others.max()), int(rows.max(initial=0))) + 1
        votes: Floats = np.bincount(others, weights, minlength=size).astype(np.float64)
        return votes[rows]

    def votes_by_click(
        self, recent_rows: Rows, recent_times: Floats, rows: Rows, now: float
    ) -> Floats:
        """Return what each click adds to the `scores` of distinct `rows`, f64 [clicks, k]."""
        votes = np.zeros((len(recent_rows), len(rows)))
        newest = np.argsort(-recent_times, kind="stable")[:RECENT]
        recent, factors = self._shares(recent_rows[newest], recent_times[newest], now)
        place = np.full(int(rows.max(initial=0)) + 1, -1, np.int64)
        place[rows] = np.arange(len(rows))
        for click, others, weights in self._pairs.votes_apart(recent, factors, now):
            known = others < len(place)
            at = place[others[known]]
            votes[newest[click], at[at >= 0]] = weights[known][at >= 0]
        return votes

    def neighbours(
        self, recent_rows: Rows, recent_times: Floats, now: float, limit: int
    ) -> tuple[Rows, Floats]:
        """Return the articles the last clicks speak for most, best first: rows and scores."""
        others, weights = self._votes(recent_rows, recent_times, now)
        rows, where = np.unique(others, return_inverse=True)
        scores: Floats = np.bincount(where, weights, minlength=len(rows)).astype(np.float64)
        order = np.lexsort((rows, -scores))[:limit]
        return rows[order], scores[order]

    def snapshot(self) -> Covisitation:
        """Return a copy that later clicks do not touch; neighbours are shared until written."""
        twin = object.__new__(Covisitation)
        twin._pairs = self._pairs.snapshot()
        return twin

    def dump(self) -> dict[str, Any]:
        """Return everything held, by article id, as arrays and lists of ids."""
        return self._pairs.dump()

    def delta(self) -> dict[str, Any]:
        """Return the articles that changed since the last call, in the form of `dump`."""
        return self._pairs.delta()

    def apply(self, packed: Mapping[str, Any]) -> None:
        """Replace the articles of a dump or delta of another process by its values."""
        self._pairs.apply(packed)

    @classmethod
    def load(cls, ids: IdMap, packed: Mapping[str, Any]) -> Covisitation:
        """Return co-visitation holding a dump, its ids added to `ids`."""
        covisitation = cls(ids)
        covisitation.apply(packed)
        return covisitation

    def _votes(self, rows: Rows, times: Floats, now: float) -> tuple[Rows, Floats]:
        newest = np.argsort(-times, kind="stable")[:RECENT]
        return self._pairs.votes(*self._shares(rows[newest], times[newest], now), now)

    def _shares(self, rows: Rows, times: Floats, now: float) -> tuple[Rows, Floats]:
        """Return clicked rows and by what their pairs' weights are multiplied."""
        recency = np.exp2(-(now - times) / (PAIR_HALF_LIFE_S / 4))
        return rows, recency / (self._pairs.bases(rows, now) + SMOOTHING)
