"""Measures beyond accuracy: coverage, novelty, diversity within a list, and section entropy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats, Matrix, Rows

TOP = 10
"""How much of each list is looked at."""


class Spread:
    """What the first `TOP` places of many lists look like, gathered list by list."""

    def __init__(self) -> None:
        self._shown: dict[int, int] = {}
        self._pool: set[int] = set()
        self._sums = np.zeros(4)
        self._counts = np.zeros(4)

    def add(
        self,
        top: Rows,
        share: npt.NDArray[np.floating],
        content: Matrix,
        sections: npt.NDArray[np.int32],
        trending: npt.NDArray[np.bool_],
    ) -> None:
        """Take one list's first articles, best first, with what is known of each.

        Args:
            top: article rows.
            share: of the site's clicks (half-life 24 h) that each had.
            content: unit content vectors, f32 [k, d], zero rows without one.
            sections: codes, -1 unknown.
            trending: whether each is labelled.
        """
        for row in top.tolist():
            self._shown[row] = self._shown.get(row, 0) + 1
        novelty = -np.log2(np.maximum(share, 1e-4))
        self._take(0, float(novelty.mean()))
        worded = content[content.any(axis=1)] if content.shape[1] else content[:0]
        if len(worded) > 1:
            similar = worded @ worded.T
            pairs = len(worded) * (len(worded) - 1)
            self._take(1, 1.0 - float(similar.sum() - np.trace(similar)) / pairs)
        known = sections[sections >= 0]
        if len(known):
            share = np.bincount(known)[np.bincount(known) > 0] / len(known)
            self._take(2, float(-(share * np.log2(share)).sum()))
        self._take(3, float(trending.mean()))

    def add_pool(self, rows: Rows) -> None:
        """Take the articles that could have been shown, for coverage."""
        self._pool.update(rows.tolist())

    def summary(self) -> dict[str, float | None]:
        """Return coverage, Gini of showings, novelty (bits), list diversity, section entropy."""
        means = [float(s / n) if n else None for s, n in zip(self._sums, self._counts, strict=True)]
        return {
            "coverage": len(self._shown) / max(len(self._pool | set(self._shown)), 1),
            "gini": gini(np.array(sorted(self._shown.values()), np.float64)),
            "novelty_bits": means[0],
            "intra_list_diversity": means[1],
            "section_entropy_bits": means[2],
            "trending_share": means[3],
        }

    def _take(self, place: int, value: float) -> None:
        self._sums[place] += value
        self._counts[place] += 1


def gini(ordered: Floats) -> float:
    """Return the Gini coefficient of ascending amounts: 0 all equal, near 1 one has everything.

    `sum((2 i - n - 1) x_i) / (n sum(x_i))` for i from 1 to n; 0 where there is nothing.
    """
    n, total = len(ordered), float(ordered.sum())
    if not n or total <= 0:
        return 0.0
    return float((2.0 * np.arange(1, n + 1) - n - 1.0) @ ordered / (n * total))
