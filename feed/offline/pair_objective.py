"""PairObjective: teaches trees to put each clicked entry of a list above each that was not."""

from __future__ import annotations

import lightgbm
import numpy as np

from feed.arrays import Flags, Floats, Integers
from feed.models.ranker import logistic
from feed.offline.ranking_metrics import entries_beside

LONG_LISTS = 0.75
"""A pair weighs (pairs of its list) ** -LONG_LISTS: with 1 all lists would weigh the same, with 0
all pairs."""


class PairObjective:
    """The logistic loss of the difference between two scores of one list, as LightGBM asks for it.

    The area under a list's ROC curve is the share of these pairs that are in order, so this is
    its smooth form. Lambdarank weighs the same pairs by what their exchange would change of
    nDCG, which leaves those far down almost without weight.

    Source: Burges et al.: Learning to Rank using Gradient Descent (2005).

    Args:
        clicked: bool [n], of all lists one after the other.
        sizes: entries of each list, int64 [lists].
        weights: of the entries, f64 [n]; a pair counts as much as its unclicked one;
                1 if not given.
    """

    def __init__(self, clicked: Flags, sizes: Integers, weights: Floats | None = None) -> None:
        places = np.flatnonzero(clicked)
        lists = np.repeat(np.arange(len(sizes)), sizes)[places]
        entries, each = entries_beside(lists, sizes)
        is_pair = ~clicked[entries]
        self._better = np.repeat(places, each)[is_pair]
        self._worse = entries[is_pair]
        of_list = np.repeat(lists, each)[is_pair]
        pairs = np.bincount(of_list, minlength=len(sizes)).astype(np.float64)
        counts = pairs[of_list] ** -LONG_LISTS
        self._weights = counts / counts.mean() if len(counts) else counts
        if weights is not None:
            self._weights = self._weights * weights[self._worse]
        self._size = len(clicked)

    def __call__(self, scores: Floats, _: lightgbm.Dataset) -> tuple[Floats, Floats]:
        """Return the loss's first and second derivative by each score, f64 [n] each."""
        wrong = logistic(scores[self._worse] - scores[self._better])
        push = self._weights * wrong
        bend = push * (1.0 - wrong)
        gradient = self._sum(self._worse, push) - self._sum(self._better, push)
        return gradient, self._sum(self._worse, bend) + self._sum(self._better, bend)

    def _sum(self, places: Integers, values: Floats) -> Floats:
        return np.asarray(np.bincount(places, values, minlength=self._size), np.float64)
