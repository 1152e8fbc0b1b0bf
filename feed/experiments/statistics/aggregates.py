"""Sufficient statistics of a variant: fifteen numbers that add up and suffice for all tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

VARIABLES = ("numerator", "denominator", "covariate", "covariate_denominator")
"""The columns of a metric, in the order of every mean and product below."""

PAIRS = tuple((row, column) for row in range(4) for column in range(row, 4))
"""The upper triangle of the four by four table of products, row by row."""

GROUPS = 20
"""Groups of readers that the smallest variant is cut into for numbers that only groups have."""

_ROUNDING = 1e-12
_CONSTANT = 1e-24


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, means and centred products of one variant's readers.

    A metric is the ratio of two sums over readers, numerator over denominator (a plain mean per
    reader has the constant 1 below); so is the covariate from before the start. Two disjoint
    groups of readers are put together by adding their moments.

    Attributes:
        n: Readers.
        means: Mean of each of ``VARIABLES``; zeros where there is no reader.
        products: Sum over readers of (x - mean x)(y - mean y) for each of ``PAIRS``.
    """

    n: int
    means: tuple[float, ...]
    products: tuple[float, ...]

    @classmethod
    def from_arrays(
        cls,
        numerator: ArrayLike,
        denominator: ArrayLike | None = None,
        covariate: ArrayLike | None = None,
        covariate_denominator: ArrayLike | None = None,
    ) -> Moments:
        """Reduce one value a reader to moments.

        Args:
            numerator: Shape (readers,).
            denominator: Shape (readers,); 1 for each reader when absent.
            covariate: Shape (readers,); 0 when absent, which leaves nothing to adjust by.
            covariate_denominator: Shape (readers,); 1 when absent.

        Returns:
            The moments.

        Raises:
            ValueError: Shapes differ, or a value is not finite.
        """
        first = np.asarray(numerator, dtype=np.float64)
        table = np.stack(
            [
                first,
                _column(denominator, first.shape, 1.0),
                _column(covariate, first.shape, 0.0),
                _column(covariate_denominator, first.shape, 1.0),
            ]
        )
        if not np.isfinite(table).all():
            raise ValueError("a metric value is not a finite number")
        n = int(first.size)
        if n == 0:
            return NO_READERS
        means = table.mean(axis=1)
        centred = table - means[:, None]
        products = centred @ centred.T
        return cls(n, tuple(means.tolist()), tuple(float(products[pair]) for pair in PAIRS))

    @classmethod
    def from_sums(cls, n: int, sums: Sequence[float], products: Sequence[float]) -> Moments:
        """Build moments from raw sums, as one SQL pass returns them.

        Args:
            n: Readers.
            sums: Sum of each of ``VARIABLES``.
            products: Sum of x times y for each of ``PAIRS``.

        Returns:
            The moments. A variable whose centred square is lost in rounding counts as constant.
        """
        if n == 0:
            return NO_READERS
        means = tuple(float(total) / n for total in sums)
        constant = {
            row
            for (row, column), raw in zip(PAIRS, products, strict=True)
            if row == column and raw - n * means[row] ** 2 <= _ROUNDING * abs(raw)
        }
        centred = tuple(
            0.0
            if row in constant or column in constant
            else float(raw) - n * means[row] * means[column]
            for (row, column), raw in zip(PAIRS, products, strict=True)
        )
        return cls(n, means, centred)

    def __add__(self, other: Moments) -> Moments:
        """Join two disjoint groups of readers.

        Source: Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for
        computing sample variances, eq. 2.1.
        """
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n = self.n + other.n
        gaps = tuple(b - a for a, b in zip(self.means, other.means, strict=True))
        means = tuple(a + gap * other.n / n for a, gap in zip(self.means, gaps, strict=True))
        weight = self.n * other.n / n
        products = tuple(
            a + b + gaps[row] * gaps[column] * weight
            for a, b, (row, column) in zip(self.products, other.products, PAIRS, strict=True)
        )
        return Moments(n, means, products)

    def covariance(self, row: int, column: int) -> float:
        """Sample covariance of two of ``VARIABLES``; zero for a constant or a single reader."""
        if self.n < 2 or self._is_constant(row) or self._is_constant(column):
            return 0.0
        return self.products[PAIRS.index((min(row, column), max(row, column)))] / (self.n - 1)

    @property
    def ratio(self) -> float | None:
        """The metric: mean numerator over mean denominator; None over zero or without readers."""
        return _ratio(self.means[0], self.means[1])

    @property
    def covariate_ratio(self) -> float | None:
        """The covariate: the same metric before the start."""
        return _ratio(self.means[2], self.means[3])

    def linear_covariance(self, left: int, right: int) -> float:
        """Covariance per reader of two ratios, linearised.

        Source: delta method; Deng, Knoblich and Lu (2018), Applying the delta method in metric
        analytics, eq. 3.

        Args:
            left: 0 for the metric, 2 for the covariate.
            right: The same.

        Returns:
            Covariance of the linearised values; divided by ``n``, that of the two ratios. Zero
            where a ratio does not exist.
        """
        below_left, below_right = self.means[left + 1], self.means[right + 1]
        if below_left == 0 or below_right == 0:
            return 0.0
        r_left, r_right = self.means[left] / below_left, self.means[right] / below_right
        terms = (
            self.covariance(left, right),
            -r_right * self.covariance(left, right + 1),
            -r_left * self.covariance(left + 1, right),
            r_left * r_right * self.covariance(left + 1, right + 1),
        )
        total, size = sum(terms), sum(abs(term) for term in terms)
        return 0.0 if abs(total) <= _ROUNDING * size else total / (below_left * below_right)

    def _is_constant(self, row: int) -> bool:
        square = self.products[PAIRS.index((row, row))]
        return square <= _CONSTANT * self.n * self.means[row] ** 2


NO_READERS = Moments(0, (0.0,) * 4, (0.0,) * len(PAIRS))
"""The neutral element: adding it changes nothing."""


def _column(
    values: ArrayLike | None, shape: tuple[int, ...], default: float
) -> NDArray[np.float64]:
    if values is None:
        return np.full(shape, default)
    column = np.asarray(values, dtype=np.float64)
    if column.shape != shape or len(shape) != 1:
        raise ValueError(f"expected one value a reader, shape {shape}, got {column.shape}")
    return column


def _ratio(above: float, below: float) -> float | None:
    if below == 0:
        return None
    value = above / below
    return value if math.isfinite(value) else None
