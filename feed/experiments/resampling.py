"""Bootstrap over readers, at a cost that does not grow with their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feed.experiments.effects import Interval

FloatArray = NDArray[np.float64]

MOST_BLOCKS = 1_000
"""Readers beyond this number are joined into this many random groups before resampling."""


def bootstrap_ratio_interval(
    above: FloatArray,
    below: FloatArray,
    readers: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 1_000,
) -> Interval | None:
    """Percentile interval of sum(above) / sum(below) when readers are drawn anew.

    Groups of readers formed at random are as independent as readers are, so a million readers
    are resampled as a thousand groups.

    Source: Efron (1979) for the bootstrap; Davison and Hinkley (1997), section 3.8, for resampling
    clusters.

    Args:
        above: Shape (rows,).
        below: Shape (rows,), not negative.
        readers: Shape (rows,): row number of the reader.
        rng: Draws the samples.
        level: Confidence level.
        resamples: Samples drawn.

    Returns:
        The interval; None with fewer than two readers or when no sample has a denominator.
    """
    _, block = np.unique(readers, return_inverse=True)
    blocks = int(block.max()) + 1 if block.size else 0
    if blocks < 2:
        return None
    if blocks > MOST_BLOCKS:
        block = (rng.permutation(blocks) % MOST_BLOCKS)[block]
        blocks = MOST_BLOCKS
    sums = np.stack(
        [np.bincount(block, column, minlength=blocks) for column in (above, below)], axis=1
    )
    draws = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=resamples)
    totals = draws @ sums
    defined = totals[:, 1] > 0
    if not defined.any():
        return None
    ratios = totals[defined, 0] / totals[defined, 1]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(ratios, [tail, 1.0 - tail])
    return Interval(float(low), float(high))
