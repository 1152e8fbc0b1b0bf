"""Turns identifiers into row numbers, once, where data enters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats, Rows


class IdMap:
    """An append-only numbering of identifiers: the first one added is row 0.

    The row of an identifier never changes, so arrays that were made for a shorter map stay valid
    for a longer one. The empty string is never added; its row is always -1.
    """

    __slots__ = ("_rows", "ids")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.ids: list[str] = []
        self._rows: dict[str, int] = {}
        for value in ids:
            self.add(value)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, value: object) -> bool:
        return value in self._rows

    def row(self, value: str) -> int:
        """Return the row of an identifier, -1 if it is unknown."""
        return self._rows.get(value, -1)

    def rows(self, values: Sequence[str]) -> Rows:
        """Return the rows of identifiers, int64 of shape [n], -1 where unknown."""
        return np.fromiter(map(self._rows.get, values, repeat(-1)), np.int64, len(values))

    def add(self, value: str) -> int:
        """Return the row of an identifier, numbering it first if it is new; -1 for ""."""
        row = self._rows.get(value)
        if row is None:
            if not value:
                return -1
            row = len(self.ids)
            self.ids.append(value)
            self._rows[value] = row
        return row

    def add_all(self, values: Sequence[str]) -> Rows:
        """Return the rows of identifiers, numbering the new ones; int64 of shape [n]."""
        rows = self.rows(values)
        for place in np.flatnonzero(rows < 0).tolist():
            rows[place] = self.add(values[place])
        return rows


Vocabulary = IdMap
"""The numbering of sections, sources or languages; code -1 stands for "" and the unknown."""


def are_known(rows: Rows, size: int) -> bool:
    """Return whether all rows are among the first `size`, and none is negative."""
    return int(rows.astype(np.uint64).max(initial=0)) < size  # -1 becomes the greatest number


def find(sorted_rows: Rows, rows: Rows) -> Rows:
    """Return the position of each of `rows` in `sorted_rows`, -1 where it is absent."""
    if not len(sorted_rows):
        return np.full(len(rows), -1, np.int64)
    at = np.minimum(np.searchsorted(sorted_rows, rows), len(sorted_rows) - 1)
    return np.where(sorted_rows[at] == rows, at, -1)


def stable_order(keys: Rows) -> Rows:
    """Return the order that sorts keys, none negative, int64 [k]; equal ones stay as they stood.

    Each place is written into the low bits of its key, because numpy sorts plain numbers many times
    as fast as it finds a stable order. Keys that leave no room for it are sorted the slow way.
    """
    bits = len(keys).bit_length()
    if int(keys.max(initial=0)) >> (63 - bits):
        return np.argsort(keys, kind="stable")
    placed = keys.astype(np.int64) << bits
    placed |= np.arange(len(keys))
    placed.sort()
    placed &= (1 << bits) - 1
    return placed


def sum_by_row(rows: npt.NDArray[np.signedinteger], weights: Floats, size: int = 0) -> Floats:
    """Return the sum of each row's weights, f64 [max(size, greatest row + 1)]."""
    return np.bincount(rows, weights, minlength=size).astype(np.float64, copy=False)


def look_up(table: Floats, rows: Rows) -> Floats:
    """Return the entries of a table by row, f64 [k]; rows beyond its end are zero.

    Args:
        table: f64 [n].
        rows: int64 [k], none negative.
    """
    if are_known(rows, len(table)):
        return table[rows]
    within = rows < len(table)
    found = np.zeros(len(rows))
    found[within] = table[rows[within]]
    return found


def first_places(rows: Rows, size: int) -> Rows:
    """Return where each of `rows` (from 0 to below `size`) stands first among them, int64 [k]."""
    place = np.empty(size, np.int64)
    place[rows[::-1]] = np.arange(len(rows) - 1, -1, -1)
    places: Rows = place[rows]
    return places


def first_of_each(rows: Rows, size: int) -> Rows:
    """Return `rows` (from 0 to below `size`) without repeats, each where it stood first."""
    firsts: Rows = rows[first_places(rows, size) == np.arange(len(rows))]
    return firsts
