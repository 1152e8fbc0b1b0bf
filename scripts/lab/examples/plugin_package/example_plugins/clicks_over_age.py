"""A method for `feed evaluate --method clicks_over_age`: decayed clicks over a power of the age."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats
from feed.features.interactions import CLICK
from feed.offline.own_methods import Asked, Happened

HALF_LIFE_S = 900.0
EXPONENT = 1.5


class ClicksOverAge:
    """Counts clicks with a half-life of 15 minutes; ages count from the first appearance."""

    def __init__(self) -> None:
        self._clicks: Floats = np.zeros(0)
        self._at: Floats = np.zeros(0)
        self._first: Floats = np.zeros(0)

    def observe(self, happened: Happened) -> None:
        """Count the new clicks, and note when each article was first clicked or shown."""
        size = 1 + max(happened.appeared.max(initial=-1), len(self._clicks) - 1)
        self._clicks, self._at = _longer(self._clicks, size, 0.0), _longer(self._at, size, 0.0)
        self._first = _longer(self._first, size, np.inf)
        shown_at = np.repeat(happened.list_at, np.diff(happened.list_starts))
        np.minimum.at(self._first, happened.shown, shown_at)
        clicks = np.flatnonzero((happened.kinds == CLICK) & happened.counted)
        for row, at in zip(
            happened.rows[clicks].tolist(), happened.at[clicks].tolist(), strict=True
        ):
            decay = 0.5 ** ((at - self._at[row]) / HALF_LIFE_S)
            self._clicks[row] = self._clicks[row] * decay + 1.0
            self._at[row] = at
            self._first[row] = min(self._first[row], at)

    def score(self, asked: Asked) -> npt.ArrayLike:
        """Return decayed clicks over (age in hours + 2) to the power of the exponent."""
        rows = asked.rows
        clicks = self._clicks[rows] * 0.5 ** ((asked.at - self._at[rows]) / HALF_LIFE_S)
        first = np.where(np.isfinite(self._first[rows]), self._first[rows], asked.at)
        return clicks / ((asked.at - first) / 3600.0 + 2.0) ** EXPONENT


def _longer(values: Floats, size: int, filling: float) -> Floats:
    return np.concatenate([values, np.full(max(0, size - len(values)), filling)])
