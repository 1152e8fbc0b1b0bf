"""How readily readers look at each place of a list, learnt from lists that the feed itself made.

The model is the position-based one: a click at place k on an article is looking at k, times what
the article and the reader would do anywhere (Craswell et al.: An Experimental Comparison of Click
Position-Bias Models, 2008). Articles that the feed scored alike would be clicked alike, and what
put one of them further up was how the others on its page scored. Those that were drawn by chance
are a group of their own, since the draw looks at nothing. So the two factors can be told apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from feed.arrays import Flags, Floats, Integers, Matrix, Rows
from feed.config import DAY_S
from feed.offline.event_log import ListPlaces

MOST_PLACES = 50
"""Places from this one on count as one."""
FEWEST_CLICKS = 300
"""Clicks at known places below which nothing is learnt, and so nothing is corrected."""
GROUPS_A_DAY = 20
"""Parts of a day's articles, by score; models differ from day to day, and so do their scores."""
_ROUNDS = 5_000
_CLOSE = 1e-7


@dataclass(frozen=True, slots=True)
class Examination:
    """Chance of looking at each place, relative to the top one; f64 [places], never increasing.

    `error` is the standard error of its logarithm before it was made monotone, f64 [places], and
    `clicks` how many there were, int64 [places]. Places beyond count as the last one.
    """

    chance: Floats
    error: Floats
    clicks: Integers

    def at(self, places: Rows) -> Floats:
        """Return the chance at places, f64 [k]; 1 where a place is not known (-1)."""
        chance = self.chance[np.clip(places, 0, len(self.chance) - 1)]
        return np.where(places < 0, 1.0, chance)

    def to_json(self) -> dict[str, list[float]]:
        """Return it as the manifest keeps it."""
        return {
            "chance": self.chance.round(4).tolist(),
            "error": self.error.round(4).tolist(),
            "clicks": self.clicks.tolist(),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, list[float]]) -> Examination:
        """Return what `to_json` returned."""
        return cls(
            np.array(kept["chance"], np.float64),
            np.array(kept["error"], np.float64),
            np.array(kept["clicks"], np.int64),
        )


class PlaceLog:
    """How lists were placed, and what of them was clicked, back to a window's begin."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._lists: deque[tuple[ListPlaces, Flags, float]] = deque()

    def add(self, placed: ListPlaces, clicked: Flags, at: float) -> None:
        """Take one list, served at `at` in epoch seconds; one without places says nothing."""
        if len(placed.places):
            self._lists.append((placed, clicked, at))

    def learn(self, until: float) -> Examination | None:
        """Return how readily each place is looked at; None where too few clicks tell.

        Args:
            until: when the window ends, epoch seconds; later lists are not looked at.
        """
        while self._lists and self._lists[0][2] < until - self._window_s:
            self._lists.popleft()
        lists = [entry for entry in self._lists if entry[2] < until]
        if not lists:
            return None
        sizes = [len(clicked) for _, clicked, _ in lists]
        places = np.concatenate([placed.places for placed, _, _ in lists])
        scores = np.concatenate([placed.scores for placed, _, _ in lists])
        drawn = np.concatenate([placed.drawn for placed, _, _ in lists])
        clicked = np.concatenate([clicked for _, clicked, _ in lists])
        day = np.repeat([int(at // DAY_S) for _, _, at in lists], sizes)
        told = (places >= 0) & (drawn | ~np.isnan(scores))
        if np.count_nonzero(clicked & told) < FEWEST_CLICKS:
            return None
        groups = _group(scores[told], drawn[told], day[told])
        return fit_examination(np.minimum(places[told], MOST_PLACES - 1), groups, clicked[told])


def fit_examination(places: Rows, groups: Rows, clicked: Flags) -> Examination:
    """Return the examination that best explains which slots were clicked.

    Clicks of a group at a place are Poisson with mean shown x examination x appeal of the group;
    each factor in turn is set to its greatest likelihood until nothing moves.

    Args:
        places: of each slot, from 0, int64 [n].
        groups: whose slots have the same appeal wherever they stand, int64 [n].
        clicked: bool [n], one at least.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    size = (int(places.max()) + 1, int(codes.max()) + 1)
    cells = places * size[1] + codes
    shown = np.bincount(cells, minlength=size[0] * size[1]).reshape(size).astype(np.float64)
    clicks = np.bincount(cells, clicked, minlength=size[0] * size[1]).reshape(size)
    at_place, of_group = clicks.sum(axis=1), clicks.sum(axis=0)
    chance = np.ones(size[0])
    for _ in range(_ROUNDS):
        appeal = of_group / np.maximum(chance @ shown, 1e-12)
        # A click more than there were, where one was foretold: places seldom seen stay near 1.
        found = (at_place + 1.0) / (shown @ appeal + 1.0)
        found /= found.max()
        moved, chance = float(np.abs(found - chance).max()), found
        if moved < _CLOSE:
            break
    foretold = shown @ appeal
    smooth = isotonic_regression(chance, weights=foretold + 1.0, increasing=False).x
    means = chance[:, None] * shown * appeal
    return Examination(
        chance=np.asarray(smooth / smooth[0], np.float64),
        error=_errors(means),
        clicks=at_place.astype(np.int64),
    )


def _errors(means: Floats) -> Floats:
    """Return the standard error of each log examination against the top place's, f64 [places]."""
    by_group = np.maximum(means.sum(axis=0), 1e-12)
    information = np.diag(means.sum(axis=1)) - (means / by_group) @ means.T
    errors = np.zeros(len(means))
    errors[1:] = np.sqrt(np.maximum(np.diag(np.linalg.pinv(information[1:, 1:])), 0.0))
    return errors


def _group(scores: Matrix, drawn: Flags, day: Rows) -> Rows:
    """Return the group of each slot: its part of the day by score, or the day's draws."""
    groups = np.full(len(scores), GROUPS_A_DAY)
    for one in np.unique(day):
        of_day = np.flatnonzero((day == one) & ~drawn)
        order = np.argsort(np.argsort(scores[of_day], kind="stable"), kind="stable")
        groups[of_day] = order * GROUPS_A_DAY // max(len(of_day), 1)
    return np.asarray(groups + day * (GROUPS_A_DAY + 1), np.int64)
