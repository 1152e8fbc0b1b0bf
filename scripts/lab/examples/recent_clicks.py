"""An example for `feed evaluate --method lab.examples.recent_clicks:RecentClicks`.

It orders articles by clicks that lose half their weight every half hour, as the baseline of that
name does, and so its numbers must be those of that row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed.features.interactions import CLICK
from feed.offline.own_methods import Asked, Happened

HALF_LIFE_S = 1800.0


class RecentClicks:
    """Counts each reader's first click on an article, decayed."""

    def __init__(self) -> None:
        self._clicks: npt.NDArray[np.float64] = np.zeros(0)
        self._counted_at: npt.NDArray[np.float64] = np.zeros(0)
        self._known: set[tuple[int, int]] = set()

    def observe(self, happened: Happened) -> None:
        """Count the new clicks."""
        size = max(len(self._clicks), int(happened.appeared.max(initial=-1)) + 1)
        self._clicks = _longer(self._clicks, size)
        self._counted_at = _longer(self._counted_at, size)
        clicks = np.flatnonzero((happened.kinds == CLICK) & happened.counted)
        columns = (happened.users[clicks], happened.rows[clicks], happened.at[clicks])
        for user, row, at in zip(*(column.tolist() for column in columns), strict=True):
            if (user, row) not in self._known:
                self._known.add((user, row))
                decay = 0.5 ** ((at - self._counted_at[row]) / HALF_LIFE_S)
                self._clicks[row] = self._clicks[row] * decay + 1.0
                self._counted_at[row] = at

    def score(self, asked: Asked) -> npt.ArrayLike:
        """Return the decayed clicks of each article."""
        passed_s = asked.at - self._counted_at[asked.rows]
        return self._clicks[asked.rows] * 0.5 ** (passed_s / HALF_LIFE_S)


def _longer(values: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    return np.concatenate([values, np.zeros(max(0, size - len(values)))])
