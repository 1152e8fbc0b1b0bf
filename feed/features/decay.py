"""A table of sums that decay with time, written once per event and never swept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats, Rows
from feed.features.ids import are_known

_MAX_DOUBLINGS = 300.0


class DecayedTable:
    """Rows of sums `sum_i w_i 2^(-(now - t_i) / half_life)`, one half-life per column.

    Forward decay: a value is kept relative to a landmark L as `sum_i w_i 2^((t_i - L) / h)`. So an
    event changes only its own row, and events may come in any order. Before the stored numbers
    can leave the range of a float, the landmark moves on and every row is rescaled once.

    Source: Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay (ICDE 2009), section 3.
    """

    __slots__ = ("_values", "half_lives_s", "landmark", "size")

    def __init__(self, half_lives_s: npt.ArrayLike) -> None:
        self.half_lives_s: Floats = np.asarray(half_lives_s, np.float64)
        self.landmark: float | None = None
        self.size = 0
        self._values: Floats = np.zeros((64, len(self.half_lives_s)))

    def add(self, rows: Rows, times: Floats, weights: npt.ArrayLike = 1.0) -> None:
        """Add weights at times to rows.

        Args:
            rows: int64 [k], none negative, repeats allowed.
            times: epoch seconds, f64 [k], any order.
            weights: f64 [k] or [k, columns] or one number.
        """
        if not len(rows):
            return
        self._make_room(int(rows.max()) + 1)
        growth = self._growth(times)
        weight = np.asarray(weights, np.float64)
        growth *= weight[:, None] if weight.ndim == 1 else weight
        np.add.at(self._values, rows, growth)

    def add_to_blocks(
        self, rows: Rows, times: Floats, weights: Floats, blocks: Sequence[slice]
    ) -> None:
        """Add weights f64 [k] at times to rows, in some blocks of columns of equal half-lives."""
        if not len(rows):
            return
        self._make_room(int(rows.max()) + 1)
        growth = np.ascontiguousarray(self._growth(times, blocks[0]).T) * weights
        for block in blocks:
            for column, values in zip(range(block.start, block.stop), growth, strict=True):
                np.add.at(self._values[:, column], rows, values)

    def read(self, rows: Rows, now: float, columns: slice = slice(None)) -> Floats:
        """Return the decayed sums of rows at `now`, f64 [k, columns]; unknown rows are zero."""
        half_lives_s = self.half_lives_s[columns]
        if self.landmark is None or not self.size:
            return np.zeros((len(rows), len(half_lives_s)))
        table = self._values[:, columns]
        if are_known(rows, self.size):
            values = table[rows]
        else:
            known = (rows >= 0) & (rows < self.size)
            values = np.where(known[:, None], table[np.where(known, rows, 0)], 0.0)
        values *= np.exp2((self.landmark - now) / half_lives_s)
        return values

    def read_first(self, now: float) -> Floats:
        """Return the decayed sums of row 0 at `now`, f64 [columns], zero if nothing was added."""
        if self.landmark is None:
            return np.zeros(len(self.half_lives_s))
        found: Floats = self._values[0] * np.exp2((self.landmark - now) / self.half_lives_s)
        return found

    def write(self, rows: Rows, values: Floats, landmark: float) -> None:
        """Replace rows by stored values that another table kept relative to `landmark`."""
        if not len(rows):
            return
        self._make_room(int(rows.max()) + 1)
        if self.landmark is None or landmark > self.landmark:
            self._move_landmark(landmark)
        assert self.landmark is not None  # noqa: S101 - set just above
        self._values[rows] = values * np.exp2((landmark - self.landmark) / self.half_lives_s)

    def stored(self, rows: Rows) -> Floats:
        """Return the stored values of rows (< size) relative to `landmark`, f64 [k, columns]."""
        return self._values[rows]

    def copy(self) -> DecayedTable:
        """Return an independent copy."""
        twin = DecayedTable(self.half_lives_s)
        twin.landmark, twin.size = self.landmark, self.size
        twin._values = self._values[: max(self.size, 1)].copy()
        return twin

    def all_stored(self) -> Floats:
        """Return a copy of every stored value relative to `landmark`, f64 [size, columns]."""
        return self._values[: self.size].copy()

    def _growth(self, times: Floats, columns: slice = slice(None)) -> Floats:
        newest = float(times.max())
        if self.landmark is None:
            self.landmark = newest
        if (newest - self.landmark) / self.half_lives_s.min() > _MAX_DOUBLINGS:
            self._move_landmark(newest)
        return np.exp2((times[:, None] - self.landmark) / self.half_lives_s[columns])

    def _move_landmark(self, landmark: float) -> None:
        if self.landmark is not None:
            self._values *= np.exp2((self.landmark - landmark) / self.half_lives_s)
        self.landmark = landmark

    def _make_room(self, size: int) -> None:
        if size > len(self._values):
            grown = np.zeros((max(size, 2 * len(self._values)), self._values.shape[1]))
            grown[: self.size] = self._values[: self.size]
            self._values = grown
        self.size = max(self.size, size)
