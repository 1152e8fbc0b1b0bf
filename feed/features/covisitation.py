"""What readers of one article read next: decayed, bounded counts of pairs of clicks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.features.decay import DecayedTable
from feed.features.ids import IdMap

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

_REBASE_DOUBLINGS = 300.0
_NO_VOTES = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))


class _Neighbours:
    """Growing arrays of one article's neighbours: rows and weights relative to a landmark."""

    __slots__ = ("rows", "size", "weights")

    def __init__(self) -> None:
        self.rows: Rows = np.empty(4, np.int64)
        self.weights: Floats = np.empty(4)
        self.size = 0

    def add(self, row: int, weight: float) -> None:
        found = np.flatnonzero(self.rows[: self.size] == row)
        if len(found):
            self.weights[found[0]] += weight
        elif self.size < MAX_NEIGHBOURS:
            if self.size == len(self.rows):
                self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
                self.weights = np.concatenate([self.weights, np.empty_like(self.weights)])
            self.rows[self.size], self.weights[self.size] = row, weight
            self.size += 1
        else:
            weakest = int(self.weights.argmin())
            if self.weights[weakest] < weight:
                self.rows[weakest], self.weights[weakest] = row, weight

    def copy(self) -> _Neighbours:
        twin = _Neighbours()
        twin.rows, twin.weights, twin.size = self.rows.copy(), self.weights.copy(), self.size
        return twin


class Covisitation:
    """Which articles are clicked by the same readers, near in time, lately.

    A click on `b` at t by a reader who clicked `a` at s adds `2^(-(t - s) / GAP_HALF_LIFE_S)` to
    both a's neighbour b and b's neighbour a; pairs halve every `PAIR_HALF_LIFE_S`.
    """

    __slots__ = ("_changed", "_clicks", "_ids", "_landmark", "_pairs", "_shared")

    def __init__(self, ids: IdMap) -> None:
        self._ids = ids
        self._pairs: dict[int, _Neighbours] = {}
        self._shared: set[int] = set()
        self._changed: set[int] = set()
        self._clicks = DecayedTable((PAIR_HALF_LIFE_S,))
        self._landmark: float | None = None

    def add_click(self, row: int, at: float, previous_rows: Rows, previous_times: Floats) -> None:
        """Count a reader's first click on an article against that reader's clicks before it."""
        self._clicks.add(np.array([row]), np.array([at]))
        self._changed.add(row)
        if not len(previous_rows):
            return
        growth = 2.0 ** ((at - self._settle_landmark(at)) / PAIR_HALF_LIFE_S)
        weights = growth * np.exp2(-np.abs(at - previous_times) / GAP_HALF_LIFE_S)
        own = self._writable(row)
        for other, weight in zip(previous_rows.tolist(), weights.tolist(), strict=True):
            if other != row and other >= 0:
                own.add(other, weight)
                self._writable(other).add(row, weight)

    def scores(self, recent_rows: Rows, recent_times: Floats, rows: Rows, now: float) -> Floats:
        """Return how strongly the last clicks speak for each of `rows`, f64 [k], >= 0.

        The sum over the last clicks of the share of a clicked article's readers that went to the
        candidate, halved with every `PAIR_HALF_LIFE_S / 4` since the click.
        """
        others, weights, _ = self._votes(recent_rows, recent_times, now)
        if not len(others):
            return np.zeros(len(rows))
        size = max(int(others.max()), int(rows.max(initial=0))) + 1
        votes: Floats = np.bincount(others, weights, minlength=size).astype(np.float64)
        return votes[rows]

    def votes_by_click(
        self, recent_rows: Rows, recent_times: Floats, rows: Rows, now: float
    ) -> Floats:
        """Return what each click adds to the `scores` of distinct `rows`, f64 [clicks, k]."""
        others, weights, clicks = self._votes(recent_rows, recent_times, now)
        shape = (len(recent_rows), len(rows))
        place = np.full(max(others.max(initial=-1), rows.max(initial=-1)) + 1, -1, np.int64)
        place[rows] = np.arange(len(rows))
        wanted = place[others] >= 0
        cells = clicks[wanted] * len(rows) + place[others[wanted]]
        votes = np.bincount(cells, weights[wanted], minlength=shape[0] * shape[1])
        return votes.astype(np.float64).reshape(shape)

    def neighbours(
        self, recent_rows: Rows, recent_times: Floats, now: float, limit: int
    ) -> tuple[Rows, Floats]:
        """Return the articles the last clicks speak for most, best first: rows and scores."""
        others, weights, _ = self._votes(recent_rows, recent_times, now)
        rows, where = np.unique(others, return_inverse=True)
        scores: Floats = np.bincount(where, weights, minlength=len(rows)).astype(np.float64)
        order = np.lexsort((rows, -scores))[:limit]
        return rows[order], scores[order]

    def snapshot(self) -> Covisitation:
        """Return a copy that later clicks do not touch; neighbours are shared until written."""
        twin = Covisitation(self._ids)
        twin._pairs, twin._landmark = dict(self._pairs), self._landmark
        twin._clicks = self._clicks.copy()
        self._shared = set(self._pairs)
        twin._shared = set(self._pairs)
        return twin

    def dump(self) -> dict[str, Any]:
        """Return everything held, by article id, as arrays and lists of ids."""
        return self._pack(sorted(set(self._pairs) | set(range(self._clicks.size))))

    def delta(self) -> dict[str, Any]:
        """Return the articles that changed since the last call, in the form of `dump`."""
        rows = sorted(self._changed)
        self._changed.clear()
        return self._pack(rows)

    def apply(self, packed: Mapping[str, Any]) -> None:
        """Replace the articles of a dump or delta of another process by its values."""
        rows = self._ids.add_all(packed["ids"])
        others = self._ids.add_all(packed["other_ids"])
        landmark, clicks_landmark = float(packed["landmark"]), float(packed["clicks_landmark"])
        if not np.isnan(clicks_landmark):
            self._clicks.write(rows, packed["clicks"], clicks_landmark)
        if np.isnan(landmark):
            return
        weights = packed["weights"] * 2.0 ** (
            (landmark - self._settle_landmark(landmark)) / PAIR_HALF_LIFE_S
        )
        ends = np.cumsum(packed["counts"])
        for row, end, count in zip(rows.tolist(), ends, packed["counts"], strict=True):
            entry = _Neighbours()
            entry.rows, entry.weights = others[end - count : end], weights[end - count : end]
            entry.size = int(count)
            self._pairs[row] = entry.copy() if count else _Neighbours()
            self._shared.discard(row)

    @classmethod
    def load(cls, ids: IdMap, packed: Mapping[str, Any]) -> Covisitation:
        """Return co-visitation holding a dump, its ids added to `ids`."""
        covisitation = cls(ids)
        covisitation.apply(packed)
        return covisitation

    def _votes(self, rows: Rows, times: Floats, now: float) -> tuple[Rows, Floats, Rows]:
        """Return voted-for rows (repeats possible), their votes, and which click gave each."""
        entries, factors, clicks = [], [], []
        order = np.argsort(-times, kind="stable")[:RECENT]
        if self._landmark is None or not len(order):
            return _NO_VOTES
        decay = 2.0 ** ((self._landmark - now) / PAIR_HALF_LIFE_S)
        own_clicks = self._clicks.read(rows[order], now)[:, 0]
        recency = np.exp2(-(now - times[order]) / (PAIR_HALF_LIFE_S / 4))
        shares = decay * recency / (own_clicks + SMOOTHING)
        for click, row, share in zip(
            order.tolist(), rows[order].tolist(), shares.tolist(), strict=True
        ):
            entry = self._pairs.get(row)
            if entry is not None and entry.size:
                entries.append(entry)
                factors.append(share)
                clicks.append(click)
        if not entries:
            return _NO_VOTES
        others = np.concatenate([e.rows[: e.size] for e in entries])
        weights = np.concatenate(
            [e.weights[: e.size] * f for e, f in zip(entries, factors, strict=True)]
        )
        return others, weights, np.repeat(clicks, [e.size for e in entries])

    def _writable(self, row: int) -> _Neighbours:
        entry = self._pairs.get(row)
        if entry is None:
            entry = self._pairs[row] = _Neighbours()
        elif row in self._shared:
            entry = self._pairs[row] = entry.copy()
        self._shared.discard(row)
        self._changed.add(row)
        return entry

    def _settle_landmark(self, at: float) -> float:
        if self._landmark is None:
            self._landmark = at
        elif (at - self._landmark) / PAIR_HALF_LIFE_S > _REBASE_DOUBLINGS:
            factor = 2.0 ** ((self._landmark - at) / PAIR_HALF_LIFE_S)
            for row in list(self._pairs):
                self._writable(row).weights *= factor
            self._landmark = at
        return self._landmark

    def _pack(self, rows: list[int]) -> dict[str, Any]:
        entries = [self._pairs.get(row) or _Neighbours() for row in rows]
        ids = self._ids.ids
        others = [ids[r] for e in entries for r in e.rows[: e.size].tolist()]
        known = np.array([r for r in rows if r < self._clicks.size], np.int64)
        clicks = np.zeros((len(rows), 1))
        clicks[: len(known)] = self._clicks.stored(known)
        return {
            "ids": [ids[r] for r in rows],
            "other_ids": others,
            "counts": np.array([e.size for e in entries], np.int64),
            "weights": np.concatenate([e.weights[: e.size] for e in entries] or [np.zeros(0)]),
            "clicks": clicks,
            "landmark": np.nan if self._landmark is None else self._landmark,
            "clicks_landmark": np.nan if self._clicks.landmark is None else self._clicks.landmark,
        }
