"""Bootstrap over readers, at a cost that does not grow with their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feed.arrays import Floats
from feed.experiments.statistics.effects import Interval

MOST_BLOCKS = 1_000
"""Readers beyond this number are joined into this many random groups before resampling."""


class ReaderBootstrap:
    """Samples of readers, drawn once and used for every estimate of one log.

    Groups of readers formed at random are as independent as readers are, so a million readers
    are resampled as a thousand groups.

    Source: Efron (1979) for the bootstrap; Davison and Hinkley (1997), section 3.8, for resampling
    clusters.

    Args:
        readers: Shape (rows,): number of the reader of each row.
        rng: Draws the samples.
        resamples: How many.
    """

    def __init__(
        self, readers: NDArray[np.int64], rng: np.random.Generator, resamples: int = 1_000
    ) -> None:
        _, block = np.unique(readers, return_inverse=True)
        blocks = int(block.max()) + 1 if block.size else 0
        if blocks > MOST_BLOCKS:
            block = (rng.permutation(blocks) % MOST_BLOCKS)[block]
            blocks = MOST_BLOCKS
        self._block, self._blocks = block, blocks
        drawn = rng.integers(0, max(blocks, 1), (resamples, blocks))
        drawn += blocks * np.arange(resamples)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=resamples * blocks)
        self._counts = counts.reshape(resamples, blocks).astype(np.float64)

    def ratio_interval(self, above: Floats, below: Floats, level: float = 0.95) -> Interval | None:
        """Percentile interval of sum(above) / sum(below) when readers are drawn anew.

        Args:
            above: Shape (rows,).
            below: Shape (rows,), not negative.
            level: Confidence level.

        Returns:
            The interval; None with fewer than two readers, when no sample has a denominator, and
            when all samples agree: readers that are all alike say nothing of the next one.
        """
        if self._blocks < 2:
            return None
        sums = [
            np.bincount(self._block, column, minlength=self._blocks) for column in (above, below)
        ]
        totals = self._counts @ np.stack(sums, axis=1)
        defined = totals[:, 1] > 0
        if not defined.any():
            return None
        tail = (1.0 - level) / 2.0
        ratios = totals[defined, 0] / totals[defined, 1]
        low, high = np.quantile(ratios, [tail, 1.0 - tail])
        return Interval(float(low), float(high)) if low < high else None
