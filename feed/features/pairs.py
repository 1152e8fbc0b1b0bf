"""PairTable: decayed weights of ordered pairs of articles, bounded per article."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feed.arrays import Floats, Rows
from feed.features.decay import DecayedTable
from feed.features.ids import IdMap

_REBASE_DOUBLINGS = 300.0


class _Neighbours:
    """Growing arrays of one article's neighbours: rows and weights relative to a landmark."""

    __slots__ = ("rows", "size", "weights")

    def __init__(self) -> None:
        self.rows: Rows = np.empty(4, np.int64)
        self.weights: Floats = np.empty(4)
        self.size = 0

    def add(self, row: int, weight: float, limit: int) -> None:
        found = (self.rows[: self.size] == row).nonzero()[0]
        if len(found):
            self.weights[found[0]] += weight
        elif self.size < limit:
            if self.size == len(self.rows):
                self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
                self.weights = np.concatenate([self.weights, np.empty_like(self.weights)])
            self.rows[self.size], self.weights[self.size] = row, weight
            self.size += 1
        else:
            weakest = int(self.weights[: self.size].argmin())
            if self.weights[weakest] < weight:
                self.rows[weakest], self.weights[weakest] = row, weight

    def copy(self) -> _Neighbours:
        twin = _Neighbours()
        twin.rows, twin.weights, twin.size = self.rows.copy(), self.weights.copy(), self.size
        return twin


class PairTable:
    """Weights of pairs (article, neighbour) that halve with time, and of articles alone.

    Each article keeps its `limit` neighbours with the largest weights. A snapshot shares the
    arrays that do not change. `bases` is the weight of the article alone, and shares are relative
    to it.
    """

    __slots__ = (
        "_bases",
        "_changed",
        "_half_life_s",
        "_ids",
        "_landmark",
        "_limit",
        "_pairs",
        "_shared",
    )

    def __init__(self, ids: IdMap, half_life_s: float, limit: int) -> None:
        self._ids = ids
        self._half_life_s, self._limit = half_life_s, limit
        self._pairs: dict[int, _Neighbours] = {}
        self._shared: set[int] = set()
        self._changed: set[int] = set()
        self._bases = DecayedTable((half_life_s,))
        self._landmark: float | None = None

    def add_base(self, row: int, at: float, weight: float = 1.0) -> None:
        """Count one occasion (or several) of an article alone."""
        self._bases.add(np.array([row]), np.array([at]), weight)
        self._changed.add(row)

    def add(self, row: int, others: Rows, weights: Floats, at: float) -> None:
        """Add weights to the pairs of an article with others (distinct from it and >= 0)."""
        if not len(others):
            return
        entry, limit = self._writable(row), self._limit
        stored = weights * self._growth(at)
        for other, weight in zip(others.tolist(), stored.tolist(), strict=True):
            entry.add(other, weight, limit)

    def add_both_ways(self, row: int, others: Rows, weights: Floats, at: float) -> None:
        """Add weights to the pairs of an article with others, and to theirs with it."""
        self.add(row, others, weights, at)
        stored = weights * self._growth(at) if len(others) else weights
        for other, weight in zip(others.tolist(), stored.tolist(), strict=True):
            self._writable(other).add(row, weight, self._limit)

    def bases(self, rows: Rows, now: float) -> Floats:
        """Return the decayed occasions of articles alone, f64 [k]."""
        return self._bases.read(rows, now)[:, 0]

    def votes(self, rows: Rows, factors: Floats, now: float) -> tuple[Rows, Floats, Rows]:
        """Return the neighbours of `rows`: their rows, decayed weights times a factor, and whose.

        The last is the place in `rows`. Neighbours are not summed: the same one may come from
        several rows.
        """
        get = self._pairs.get
        entries = [
            (place, entry)
            for place, entry in enumerate(map(get, rows.tolist()))
            if entry is not None and entry.size
        ]
        if self._landmark is None or not entries:
            return np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        others = np.concatenate([entry.rows[: entry.size] for _, entry in entries])
        weights = np.concatenate([entry.weights[: entry.size] for _, entry in entries])
        places = np.repeat([place for place, _ in entries], [entry.size for _, entry in entries])
        weights *= (factors * 2.0 ** ((self._landmark - now) / self._half_life_s))[places]
        return others, weights, places

    def snapshot(self) -> PairTable:
        """Return a copy that later additions do not touch."""
        twin = PairTable(self._ids, self._half_life_s, self._limit)
        twin._pairs, twin._landmark = dict(self._pairs), self._landmark
        twin._bases = self._bases.copy()
        self._shared = set(self._pairs)
        twin._shared = set(self._pairs)
        return twin

    def dump(self) -> dict[str, Any]:
        """Return everything held, by article id, as arrays and lists of ids."""
        return self._pack(sorted(set(self._pairs) | set(range(self._bases.size))))

    def delta(self) -> dict[str, Any]:
        """Return the articles that changed since the last call, in the form of `dump`."""
        rows = sorted(self._changed)
        self._changed.clear()
        return self._pack(rows)

    def pack(self, rows: Rows) -> dict[str, Any]:
        """Return what is held of some articles, in the form of `dump`."""
        return self._pack(sorted(rows.tolist()))

    def apply(self, packed: Mapping[str, Any]) -> None:
        """Replace the articles of a dump or delta of another process by its values."""
        rows = self._ids.add_all(packed["ids"])
        others = self._ids.add_all(packed["other_ids"])
        landmark, base_landmark = float(packed["landmark"]), float(packed["base_landmark"])
        if not np.isnan(base_landmark):
            self._bases.write(rows, packed["bases"], base_landmark)
        if np.isnan(landmark):
            return
        growth = self._growth(landmark)
        weights = packed["weights"] * growth
        ends = np.cumsum(packed["counts"])
        counts = packed["counts"].tolist()
        for row, end, count in zip(rows.tolist(), ends.tolist(), counts, strict=True):
            self._shared.discard(row)
            if not count:
                self._pairs.pop(row, None)
                continue
            entry = self._pairs[row] = object.__new__(_Neighbours)
            entry.rows = others[end - count : end].copy()
            entry.weights = weights[end - count : end].copy()
            entry.size = count

    def _writable(self, row: int) -> _Neighbours:
        entry = self._pairs.get(row)
        if entry is None:
            entry = self._pairs[row] = _Neighbours()
        elif row in self._shared:
            entry = self._pairs[row] = entry.copy()
        self._shared.discard(row)
        self._changed.add(row)
        return entry

    def _growth(self, at: float) -> float:
        return float(2.0 ** ((at - self._settle_landmark(at)) / self._half_life_s))

    def _settle_landmark(self, at: float) -> float:
        if self._landmark is None:
            self._landmark = at
        elif (at - self._landmark) / self._half_life_s > _REBASE_DOUBLINGS:
            factor = 2.0 ** ((self._landmark - at) / self._half_life_s)
            for row in list(self._pairs):
                self._writable(row).weights *= factor
            self._landmark = at
        return self._landmark

    def _pack(self, rows: list[int]) -> dict[str, Any]:
        entries = [self._pairs.get(row) or _Neighbours() for row in rows]
        ids = self._ids.ids
        based = np.array([r for r in rows if r < self._bases.size], np.int64)
        bases = np.zeros((len(rows), 1))
        bases[: len(based)] = self._bases.stored(based)
        return {
            "ids": [ids[r] for r in rows],
            "other_ids": [ids[r] for e in entries for r in e.rows[: e.size].tolist()],
            "counts": np.array([e.size for e in entries], np.int64),
            "weights": np.concatenate([e.weights[: e.size] for e in entries] or [np.zeros(0)]),
            "bases": bases,
            "landmark": np.nan if self._landmark is None else self._landmark,
            "base_landmark": np.nan if self._bases.landmark is None else self._bases.landmark,
        }
