"""PairTable: decayed weights of ordered pairs of articles, bounded per article."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array

from feed.arrays import Codes, Flags, Floats, Integers, Rows
from feed.features.decay import DecayedTable
from feed.features.ids import IdMap, sum_by_row
from feed.features.neighbour_lists import NeighbourLists, spans, strongest

_REBASE_DOUBLINGS = 100.0
"""How far weights may grow before the landmark moves on: float32 ends at 2^128."""
_LEAST_PENDING = 8_192
_PENDING_SHARE = 8
"""A reader of votes finds at most this part of all pairs waiting; of more, it has them listed."""


class _Pending:
    """Pairs that wait, one column each, in the order in which they came."""

    __slots__ = ("_others", "_rows", "_size", "_weights")

    def __init__(self) -> None:
        self._size = 0
        self._rows: Codes = np.empty(0, np.int32)
        self._others: Codes = np.empty(0, np.int32)
        self._weights: Floats = np.empty(0)

    def __len__(self) -> int:
        return self._size

    def add(self, rows: Rows, others: Rows, weights: Floats) -> None:
        """Add pairs, all [k]."""
        end = self._size + len(rows)
        if end > len(self._rows):
            room = max(end, 2 * len(self._rows))
            self._rows = np.resize(self._rows, room)
            self._others = np.resize(self._others, room)
            self._weights = np.resize(self._weights, room)
        new = slice(self._size, end)
        self._rows[new], self._others[new], self._weights[new] = rows, others, weights
        self._size = end

    def all(self) -> tuple[Codes, Codes, Floats]:
        """Return every pair: rows, others, weights."""
        return self._rows[: self._size], self._others[: self._size], self._weights[: self._size]

    def of(self, wanted: Flags) -> tuple[Codes, Codes, Floats]:
        """Return the pairs of wanted rows (bool by row)."""
        rows, others, weights = self.all()
        found = np.flatnonzero(wanted.take(rows, mode="clip"))  # unchecked: every row is below
        return rows[found], others[found], weights[found]

    def scale(self, factor: float) -> None:
        """Multiply every weight."""
        self._weights[: self._size] *= factor

    def clear(self) -> None:
        """Forget all pairs; the room stays."""
        self._size = 0


class PairTable:
    """Weights of pairs (article, neighbour) that halve with time, and of articles alone.

    Each article keeps its `limit` neighbours with the largest weights. New pairs wait unsorted,
    beside the lists, until they are as many as those, or until somebody wants a copy, or reads
    while many wait: then all of them are summed and put into their lists in one pass, and every
    list is cut to its limit. Reading sees both. `bases` is the weight of the article alone, and
    shares are relative to it.
    """

    __slots__ = (
        "_bases",
        "_changed",
        "_changes",
        "_half_life_s",
        "_ids",
        "_landmark",
        "_limit",
        "_lists",
        "_pending",
    )

    def __init__(self, ids: IdMap, half_life_s: float, limit: int) -> None:
        self._ids = ids
        self._half_life_s, self._limit = half_life_s, limit
        self._lists = NeighbourLists()
        self._pending = _Pending()
        self._changed: Integers = np.zeros(0, np.int64)  # when a row first changed, 0: sent
        self._changes = 0
        self._bases = DecayedTable((half_life_s,))
        self._landmark: float | None = None

    @property
    def has_changes(self) -> bool:
        """Whether something has changed that no `delta` has held yet."""
        return bool(self._changed.any())

    def add_bases(self, rows: Rows, times: Floats, weights: npt.ArrayLike = 1.0) -> None:
        """Count occasions of articles alone: rows int64 [k], times f64 [k] epoch seconds."""
        self._bases.add(rows, times, weights)
        self._mark(rows)

    def add(self, rows: Rows, others: Rows, weights: Floats, times: Floats) -> None:
        """Add weights at times to pairs (rows, others), all [k], each pair distinct and >= 0."""
        if not len(rows):
            return
        self._mark(rows)
        self._pending.add(rows, others, weights * self._growth(times))
        if len(self._pending) > max(_LEAST_PENDING, self._lists.total):
            self._settle()

    def bases(self, rows: Rows, now: float) -> Floats:
        """Return the decayed occasions of articles alone, f64 [k]."""
        return self._bases.read(rows, now)[:, 0]

    def votes(self, rows: Rows, factors: Floats, now: float) -> tuple[Rows, Floats, Rows]:
        """Return the neighbours of `rows`: their rows, decayed weights times a factor, and whose.

        The last is the place in `rows`. Neighbours are not summed: the same one may come from
        several rows, and more than once from a row whose pairs wait.
        """
        if self._landmark is None or not len(rows):
            return np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        if len(self._pending) > max(_LEAST_PENDING, self._lists.total // _PENDING_SHARE):
            self._settle()
        sizes, listed, weights = self._lists.gather(rows)
        others, places = listed.astype(np.int64), np.repeat(np.arange(len(rows)), sizes)
        if len(self._pending):
            of, new_others, new_weights = self._waiting_for(rows)
            others = np.concatenate([others, new_others])
            weights = np.concatenate([weights, new_weights])
            places = np.concatenate([places, of])
            if len(places) and np.bincount(places).max() > self._limit:
                others, weights, places = self._summed(others, weights, places)
        weights *= (factors * 2.0 ** ((self._landmark - now) / self._half_life_s))[places]
        return others, weights, places

    def snapshot(self) -> PairTable:
        """Return a copy that later additions do not touch; it shares the lists."""
        self._settle()
        twin = PairTable(self._ids, self._half_life_s, self._limit)
        twin._lists, twin._landmark = self._lists.copy(), self._landmark
        twin._bases = self._bases.copy()
        return twin

    def dump(self) -> dict[str, Any]:
        """Return everything held, by article id, as arrays and lists of ids.

        The room of pairs that waited is given back: after a backfill it is as large as all lists.
        """
        self._settle()
        self._pending = _Pending()
        listed = self._lists.rows()
        return self._pack(np.union1d(listed, np.arange(self._bases.size)))

    def delta(self, most: int | None = None) -> dict[str, Any]:
        """Return the articles that changed since they were last returned, in the form of `dump`.

        Args:
            most: of more articles only those that changed first are returned.
        """
        self._settle()
        rows = np.flatnonzero(self._changed)
        if most is not None and len(rows) > most:
            rows = np.sort(rows[np.argsort(self._changed[rows], kind="stable")[:most]])
        self._changed[rows] = 0
        return self._pack(rows)

    def pack(self, rows: Rows) -> dict[str, Any]:
        """Return what is held of some articles, in the form of `dump`."""
        self._settle()
        return self._pack(np.sort(rows))

    def apply(self, packed: Mapping[str, Any]) -> None:
        """Replace the articles of a dump or delta of another process by its values."""
        self._settle()
        rows = self._ids.add_all(packed["ids"])
        landmark, base_landmark = float(packed["landmark"]), float(packed["base_landmark"])
        if not np.isnan(base_landmark):
            self._bases.write(rows, packed["bases"], base_landmark)
        if np.isnan(landmark):
            return
        others = self._ids.add_all(packed["names"])[packed["others"]]
        weights = packed["weights"]
        growth = self._growth(np.array([landmark])).astype(weights.dtype)
        self._lists.replace(rows, packed["counts"], others, weights * growth)

    def _mark(self, rows: Rows) -> None:
        size = int(rows.max(initial=-1)) + 1
        if size > len(self._changed):
            grown = np.zeros(max(size, 2 * len(self._changed)), np.int64)
            grown[: len(self._changed)] = self._changed
            self._changed = grown
        self._changes += 1
        self._changed[rows[self._changed[rows] == 0]] = self._changes

    def _waiting_for(self, rows: Rows) -> tuple[Rows, Rows, Floats]:
        """Return the waiting pairs of rows: each one's place among the rows, other and weight."""
        wanted = np.zeros(len(self._ids), np.bool_)
        wanted[rows[(rows >= 0) & (rows < len(wanted))]] = True
        found, others, weights = self._pending.of(wanted)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        first = np.searchsorted(ordered, found, "left")
        repeats = np.searchsorted(ordered, found, "right") - first
        places = order[spans(first, repeats)]
        return places, np.repeat(others, repeats), np.repeat(weights, repeats)

    def _summed(self, others: Rows, weights: Floats, places: Rows) -> tuple[Rows, Floats, Rows]:
        """Return votes summed by place and neighbour, of each place the `limit` heaviest."""
        keys = places * len(self._ids) + others
        order = np.argsort(keys, kind="stable")  # nearly sorted: lists are, and few pairs wait
        keys = keys[order]
        first = np.ones(len(keys), np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        sums = sum_by_row(np.cumsum(first) - 1, weights[order])
        keys = keys[first]
        places, others = np.divmod(keys, len(self._ids))
        kept = strongest(np.bincount(places), sums, self._limit)
        return others[kept], sums[kept], places[kept]

    def _settle(self) -> None:
        """Put the waiting pairs into their lists."""
        if not len(self._pending):
            return
        pending_rows, pending_others, pending_weights = self._pending.all()
        touched = np.zeros(len(self._ids), np.bool_)
        touched[pending_rows] = True
        rows = np.flatnonzero(touched)
        place = np.empty(len(self._ids), np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        shape = len(rows), len(self._ids)
        new = coo_array((pending_weights, (place[pending_rows], pending_others)), shape)
        sizes, others, weights = self._lists.gather(rows)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        both = csr_array((weights, others, starts), shape) + new.tocsr()
        kept = strongest(np.diff(both.indptr), both.data, self._limit)
        owners = np.repeat(np.arange(len(rows)), np.diff(both.indptr))[kept]
        sizes = np.bincount(owners, minlength=len(rows))
        self._lists.replace(rows, sizes, both.indices[kept], both.data[kept])
        self._pending.clear()

    def _growth(self, times: Floats) -> Floats:
        newest = float(times.max())
        if self._landmark is None:
            self._landmark = newest
        elif (newest - self._landmark) / self._half_life_s > _REBASE_DOUBLINGS:
            factor = 2.0 ** ((self._landmark - newest) / self._half_life_s)
            self._lists.scale(factor)
            self._pending.scale(factor)
            self._landmark = newest
        growth: Floats = np.exp2((times - self._landmark) / self._half_life_s)
        return growth

    def _pack(self, rows: Rows) -> dict[str, Any]:
        """Return what is held of some articles; weights as float32, the greatest below 2."""
        sizes, others, weights = self._lists.gather(rows)
        doublings = np.floor(np.log2(weights.max(initial=1.0)))
        named, codes = np.unique(others, return_inverse=True)
        ids = self._ids.ids
        based = rows[rows < self._bases.size]
        bases = np.zeros((len(rows), 1))
        bases[: len(based)] = self._bases.stored(based)
        return {
            "ids": [ids[r] for r in rows.tolist()],
            "names": [ids[r] for r in named.tolist()],
            "others": codes.astype(np.int32),
            "counts": sizes,
            "weights": (weights * 2.0**-doublings).astype(np.float32),
            "bases": bases,
            "landmark": np.nan
            if self._landmark is None
            else self._landmark + doublings * self._half_life_s,
            "base_landmark": np.nan if self._bases.landmark is None else self._bases.landmark,
        }
