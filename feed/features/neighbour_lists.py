"""NeighbourLists: for each article a list of others with weights, all lists in two flat arrays."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from feed.arrays import Codes, Flags, Floats, Integers, Rows
from feed.features.ids import are_known

_T = TypeVar("_T", bound=np.generic)
_Weights = npt.NDArray[np.floating[Any]]

_ROOM = 1.25
_MOST_USED = 1.5
_FIRST_ROOM = 1024


class NeighbourLists:
    """Lists of (other row, weight) by row, which are replaced as a whole and never changed.

    A new list is written behind all others, and what it replaces stays where it was. So a copy
    shares the flat arrays and costs no more than two numbers for each row. When more than a third
    of the flat arrays is no longer used, the lists move together into new ones.

    Weights are kept as float32 as long as no finer ones were put in, and come out as float64.
    """

    __slots__ = ("_others", "_sizes", "_starts", "_used", "_weights", "total")

    def __init__(self) -> None:
        self.total = 0
        self._used = 0
        self._starts: Integers = np.zeros(0, np.int64)
        self._sizes: Integers = np.zeros(0, np.int64)
        self._others: Codes = np.empty(0, np.int32)
        self._weights: _Weights = np.empty(0, np.float32)

    def sizes(self, rows: Rows) -> Integers:
        """Return how long the lists of rows are, int64 [k]; unknown rows have none."""
        if are_known(rows, len(self._sizes)):
            return self._sizes[rows]
        known = (rows >= 0) & (rows < len(self._sizes))
        return np.where(known, self._sizes[np.where(known, rows, 0)], 0) if self.total else 0 * rows

    def rows(self) -> Rows:
        """Return the rows that have a list, ascending."""
        return np.flatnonzero(self._sizes)

    def gather(self, rows: Rows) -> tuple[Integers, Codes, Floats]:
        """Return the lists of rows one after the other: sizes [k], others and weights [total]."""
        sizes, places = self._places(rows)
        return sizes, self._others[places], self._weights[places].astype(np.float64, copy=False)

    def replace(self, rows: Rows, sizes: Integers, others: Codes, weights: _Weights) -> None:
        """Give rows (distinct, none negative) new lists, which lie one after the other."""
        if not len(rows):
            return
        finest = np.promote_types(self._weights.dtype, weights.dtype)
        self._weights = self._weights.astype(finest, copy=False)
        self._make_room(int(rows.max()) + 1, len(others))
        end = self._used + len(others)
        self._others[self._used : end] = others
        self._weights[self._used : end] = weights
        self.total += len(others) - int(self._sizes[rows].sum())
        self._starts[rows] = self._used + np.cumsum(sizes) - sizes
        self._sizes[rows] = sizes
        self._used = end
        if self._used > _MOST_USED * max(self.total, _FIRST_ROOM):
            self._move_together()

    def scale(self, factor: float) -> None:
        """Multiply every weight by a factor; copies keep theirs."""
        self._weights = self._weights * self._weights.dtype.type(factor)

    def copy(self) -> NeighbourLists:
        """Return a copy that later changes do not touch, and the other way round."""
        twin = NeighbourLists()
        twin.total, twin._used = self.total, self._used
        twin._starts, twin._sizes = self._starts.copy(), self._sizes.copy()
        twin._others, twin._weights = self._others[: self._used], self._weights[: self._used]
        return twin

    def _make_room(self, rows: int, more: int) -> None:
        if rows > len(self._starts):
            grown = max(rows, 2 * len(self._starts))
            self._starts = _grown(self._starts, grown, len(self._starts))
            self._sizes = _grown(self._sizes, grown, len(self._sizes))
        needed = self._used + more
        if needed > len(self._others):
            room = max(int(_ROOM * needed), _FIRST_ROOM)
            self._others = _grown(self._others, room, self._used)
            self._weights = _grown(self._weights, room, self._used)

    def _places(self, rows: Rows) -> tuple[Integers, Integers]:
        """Return how long the lists of rows are, and where their entries are in the flat arrays."""
        sizes = self.sizes(rows)
        if not self.total:
            return sizes, np.zeros(0, np.int64)
        return sizes, spans(self._starts.take(rows, mode="clip"), sizes)  # the unknown have none

    def _move_together(self) -> None:
        rows = self.rows()
        sizes, places = self._places(rows)
        self._others, self._weights = self._others[places], self._weights[places]
        self._starts[rows] = np.cumsum(sizes) - sizes
        self._used = self.total


def spans(starts: Integers, sizes: Integers) -> Integers:
    """Return the places from each start on, one span after the other: int64 [sum of sizes]."""
    ends = np.cumsum(sizes)
    places: Integers = np.arange(int(ends[-1]) if len(ends) else 0)
    places += np.repeat(starts - ends + sizes, sizes)
    return places


def strongest(sizes: Integers, weights: Floats, limit: int) -> Flags:
    """Return which entries of lists are among the `limit` heaviest of their list, bool [total]."""
    kept = np.ones(len(weights), np.bool_)
    starts = np.cumsum(sizes) - sizes
    width = limit
    while True:  # lists of similar length make a table with little waste
        some = np.flatnonzero((sizes > width) & (sizes <= 2 * width))
        if len(some):
            kept[_weakest(starts[some], sizes[some], weights, limit)] = False
        if not (sizes > 2 * width).any():
            return kept
        width *= 2


def _weakest(starts: Integers, sizes: Integers, weights: Floats, limit: int) -> Integers:
    """Return the places of what lists longer than `limit` must give up: of equal weights the last.

    Only the weight at the limit is searched for: that is much faster than to order places.
    """
    width = int(sizes.max())
    columns = np.arange(width)
    places = starts[:, None] + columns
    table = weights.take(places, mode="clip")
    missing = columns >= sizes[:, None]
    table[missing] = -np.inf
    bounds = np.partition(table, width - limit, axis=1)[:, width - limit, None]
    lost = table < bounds
    surplus = width - limit - np.count_nonzero(lost, axis=1)
    tied = np.flatnonzero(surplus)
    equal = table[tied] == bounds[tied]
    equal_after = np.cumsum(equal[:, ::-1], axis=1)[:, ::-1]
    lost[tied] |= equal & (equal_after <= surplus[tied, None])
    lost &= ~missing
    lost_places: Integers = places[lost]
    return lost_places


def _grown(array: npt.NDArray[_T], size: int, used: int) -> npt.NDArray[_T]:
    grown: npt.NDArray[_T] = np.zeros(size, array.dtype)
    grown[:used] = array[:used]
    return grown
