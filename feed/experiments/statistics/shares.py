"""Clicks over examined slots, and over expected clicks, with an interval over readers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import gammaincinv, stdtrit

from feed.experiments.statistics.effects import Interval


@dataclass(frozen=True, slots=True)
class ShareSums:
    """What the interval of a share needs of its readers; x clicked and y examined slots of each.

    Attributes:
        readers: Readers with an examined slot.
        clicked: Sum of x.
        examined: Sum of y.
        clicked_squares: Sum of x squared.
        products: Sum of x y.
        examined_squares: Sum of y squared.
    """

    readers: int
    clicked: float
    examined: float
    clicked_squares: float
    products: float
    examined_squares: float


def share_interval(sums: ShareSums, *, level: float = 0.95) -> Interval | None:
    """Return the interval of clicked over examined when readers, not slots, are independent.

    The delta method gives the share's variance over readers, that variance the number of
    independent slots that would be worth as much, and that number a score interval, which stays
    within 0 and 1 and does not vanish where nobody clicked.

    Source: Wilson (1927) with Kish's (1965) effective sample size and Student's t, as compared in
    Dean and Pagano (2015), Evaluating confidence interval methods for binomial proportions in
    clustered surveys.

    Args:
        sums: Of the readers.
        level: Confidence level.

    Returns:
        The interval; None with fewer than two readers or nothing examined.
    """
    if sums.readers < 2 or sums.examined <= 0:
        return None
    share = min(sums.clicked / sums.examined, 1.0)
    slots = _effective_slots(sums, share)
    square = float(stdtrit(sums.readers - 1, (1.0 + level) / 2.0)) ** 2
    shrink = 1.0 + square / slots
    centre = (share + square / (2.0 * slots)) / shrink
    half = math.sqrt(square * (share * (1.0 - share) / slots + square / (4.0 * slots**2))) / shrink
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def expectation_interval(sums: ShareSums, *, level: float = 0.95) -> Interval | None:
    """Return the interval of clicked over expected when readers, not slots, are independent.

    The delta method gives how much more the readers' clicks vary than as many independent ones
    would (never less). Clicks and expectation are divided by that, and the exact interval of a
    Poisson count is taken of what is left. The expectation counts as known.

    Source: Garwood (1936) with the design effect of Kish (1965).

    Args:
        sums: Of the readers; y, `examined`, are the expected clicks of each.
        level: Confidence level.

    Returns:
        The interval; None with fewer than two readers or nothing expected.
    """
    if sums.readers < 2 or sums.examined <= 0:
        return None
    spread = _spread(sums, sums.clicked / sums.examined)
    effect = max(spread / sums.clicked, 1.0) if sums.clicked else 1.0
    clicked, expected = sums.clicked / effect, sums.examined / effect
    tail = (1.0 - level) / 2.0
    low = float(gammaincinv(clicked, tail)) if clicked else 0.0
    return Interval(low / expected, float(gammaincinv(clicked + 1.0, 1.0 - tail)) / expected)


def _effective_slots(sums: ShareSums, share: float) -> float:
    """Return how many independent slots tell as much; where all are alike, the readers' number."""
    spread = _spread(sums, share)
    alone = share * (1.0 - share) * sums.examined
    if spread <= 0 or alone <= 0:
        return sums.examined**2 / sums.examined_squares
    return min(sums.examined * alone / spread, sums.examined)


def _spread(sums: ShareSums, share: float) -> float:
    """Return the variance of the sum of x - share y over readers."""
    return (
        sums.clicked_squares - 2.0 * share * sums.products + share**2 * sums.examined_squares
    ) * (sums.readers / (sums.readers - 1))
