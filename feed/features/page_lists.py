"""Which articles are shown below each article, as decayed shares of its page's impressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feed.arrays import Floats, Rows
from feed.features.ids import IdMap, sum_by_row
from feed.features.pairs import PairTable

LIST_HALF_LIFE_S = 7200.0
"""Half-life of an impression's weight, seconds."""
MAX_LISTED = 100
"""Articles remembered for one page."""
SMOOTHING = 10.0
"""Impressions added to a page's own when counts become shares."""


class PageLists:
    """Which articles the site has lately listed below each article.

    A front page is not an article and has no entry: it shows what is shown most anyway.
    """

    __slots__ = ("_pairs",)

    def __init__(self, ids: IdMap) -> None:
        self._pairs = PairTable(ids, LIST_HALF_LIFE_S, MAX_LISTED)

    def add_impressions(self, pages: Rows, rows: Rows, times: Floats) -> None:
        """Count articles shown below pages at times: all [k], each to one reader."""
        other = (rows != pages) & (rows >= 0)
        pages, rows, times = pages[other], rows[other], times[other]
        self._pairs.add_bases(pages, times)
        self._pairs.add(pages, rows, np.ones(len(rows)), times)

    def scores(self, page: int, rows: Rows, now: float) -> Floats:
        """Return which share of the page's impressions each of `rows` had, f64 [k]."""
        pages = np.array([page])
        factors = 1.0 / (self._pairs.bases(pages, now) + SMOOTHING)
        others, weights, _ = self._pairs.votes(pages, factors, now)
        if not len(others):
            return np.zeros(len(rows))
        size = max(int(others.max()), int(rows.max(initial=0))) + 1
        votes: Floats = np.bincount(others, weights, minlength=size).astype(np.float64)
        return votes[rows]

    def listed(self, page: int, now: float, limit: int) -> Rows:
        """Return the articles most listed below a page, best first."""
        others, weights, _ = self._pairs.votes(np.array([page]), np.ones(1), now)
        sums = sum_by_row(others, weights)
        listed = np.flatnonzero(sums)
        return listed[np.lexsort((listed, -sums[listed]))[:limit]]

    def snapshot(self) -> PageLists:
        """Return a copy that later lists do not touch."""
        twin = object.__new__(PageLists)
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
        """Return the pages that changed since the last call, in the form of `dump`."""
        return self._pairs.delta()

    def pack(self, rows: Rows) -> dict[str, Any]:
        """Return what is held of some articles, in the form of `dump`."""
        return self._pairs.pack(rows)

    def apply(self, packed: Mapping[str, Any]) -> None:
        """Replace the pages of a dump or delta of another process by its values."""
        self._pairs.apply(packed)
