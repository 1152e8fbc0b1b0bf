"""Simulated readers whose true effect is known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed.arrays import Floats
from feed.experiments.statistics.aggregates import Moments

MEAN_VIEWS = 12.0
CLICK_RATE = 0.1
READ_SHARE = 0.6
TRUE_READS = MEAN_VIEWS * CLICK_RATE * READ_SHARE
"""Qualified reads a reader, without treatment."""

_TASTE = (2.0, 18.0)
_ACTIVITY_SHAPE = 1.5


@dataclass(frozen=True, slots=True)
class Readers:
    """One variant's readers, one value a reader; shapes (readers,).

    Readers differ in how much they come and in how readily they click, so impressions of one
    reader are not independent: the reason why tests per impression are wrong.

    Attributes:
        views: Articles shown.
        clicks: Clicks.
        reads: Clicks that became a qualified read.
        dwell_s: Seconds spent reading, heavy-tailed.
        views_before: Articles shown before the start.
        clicks_before: Clicks before the start.
    """

    views: Floats
    clicks: Floats
    reads: Floats
    dwell_s: Floats
    views_before: Floats
    clicks_before: Floats

    def reads_moments(self) -> Moments:
        """Qualified reads a reader, with clicks before the start as covariate."""
        return Moments.from_arrays(self.reads, None, self.clicks_before)

    def click_through_moments(self) -> Moments:
        """Clicks over views, with the same from before the start as covariate."""
        return Moments.from_arrays(self.clicks, self.views, self.clicks_before, self.views_before)


def draw_readers(rng: np.random.Generator, readers: int, lift: float = 0.0) -> Readers:
    """Draw readers whose clicks are raised by a known share.

    Args:
        rng: Source of chance.
        readers: How many.
        lift: Relative effect on clicks, and so on reads and on click-through.

    Returns:
        The readers; the expectation of reads is ``TRUE_READS`` times (1 + lift).
    """
    activity = rng.gamma(_ACTIVITY_SHAPE, (MEAN_VIEWS - 1.0) / _ACTIVITY_SHAPE, readers)
    taste = rng.beta(*_TASTE, readers)
    views = 1 + rng.poisson(activity)
    clicks = rng.binomial(views, np.minimum(taste * (1.0 + lift), 1.0))
    views_before = 1 + rng.poisson(activity)
    return Readers(
        views=views.astype(np.float64),
        clicks=clicks.astype(np.float64),
        reads=rng.binomial(clicks, READ_SHARE).astype(np.float64),
        dwell_s=clicks * rng.lognormal(3.0, 1.2, readers),
        views_before=views_before.astype(np.float64),
        clicks_before=rng.binomial(views_before, taste).astype(np.float64),
    )
