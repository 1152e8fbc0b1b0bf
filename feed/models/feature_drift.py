"""Drift of features: their distribution in training as bins, and how far other values are off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtri

from feed.arrays import Floats, Matrix
from feed.models.schema import FEATURES

DECILES = np.arange(1, 10) / 10
MOST_ROWS = 50_000
"""Rows that bins are made from; of more, every n-th."""
MOVED, SHIFTED = 0.1, 0.25
"""Customary marks of the index: below the first nothing has changed that matters, from the second
on the values are others."""
STABLE, MOVED_WORD, SHIFTED_WORD, UNCLEAR = "stable", "moved", "shifted", "unclear"
_HALF = 0.5
_ODDS = 0.001
"""How often chance alone may exceed what it is said to give."""


@dataclass(frozen=True, slots=True)
class FeatureBins:
    """How the values of one feature were distributed.

    Attributes:
        edges: Rising; a bin holds the values above an edge, up to and including the next.
        shares: Of the values in each bin, one more than `edges`; with `unknown` they add up to 1.
        unknown: Share of the values that were unknown.
        rows: How many values there were.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    unknown: float
    rows: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "edges": list(self.edges),
            "shares": list(self.shares),
            "unknown": self.unknown,
            "rows": self.rows,
        }


def bins_from_json(data: dict[str, Any]) -> FeatureBins:
    """Return what `FeatureBins.to_json` gave.

    Raises:
        KeyError: something is missing.
        ValueError: the shares do not fit the edges.
    """
    edges, shares = tuple(map(float, data["edges"])), tuple(map(float, data["shares"]))
    if len(shares) != len(edges) + 1:
        raise ValueError("there must be one more share than edges")
    return FeatureBins(edges, shares, float(data["unknown"]), int(data["rows"]))


def bin_features(features: Matrix) -> dict[str, FeatureBins]:
    """Return the bins of every feature, between the deciles of its values.

    Args:
        features: f32 [n, len(FEATURES)]; NaN is unknown. Without a row there are no bins.
    """
    rows = features[:: max(1, -(-len(features) // MOST_ROWS))]
    if not len(rows):
        return {}
    return {one.name: _bins(rows[:, at].astype(np.float64)) for at, one in enumerate(FEATURES)}


def stability_index(expected: FeatureBins, values: Floats, independent: int | None = None) -> float:
    """Return the population stability index of values against bins.

    `sum((q - p) * ln(q / p))` over the bins and, as one more bin, the unknown values: p is the
    share in training, q that of the values. Half a value is added to each bin on both sides, so
    that an empty bin makes no infinity: half of what `independent` values are in number, because
    a bin is easily empty if the others depend on each other. 0 says that the shares are equal.

    Source: Siddiqi: Credit Risk Scorecards (2006), chapter 9; the marks 0.1 and 0.25 are his.

    Args:
        expected: The bins, of training.
        values: f64 [n], NaN is unknown.
        independent: How many of the values are independent of each other; None: all.
    """
    p = _smoothed(np.array([*expected.shares, expected.unknown]) * expected.rows)
    counts = _counts(values, np.array(expected.edges))
    weight = 1.0 if independent is None else independent / max(len(values), 1)
    q = _smoothed(counts * weight)
    return float(np.sum((q - p) * np.log(q / p)))


@dataclass(frozen=True, slots=True)
class ChanceIndex:
    """What chance alone makes of the index if nothing has changed: its mean, and an upper limit."""

    mean: float
    most: float

    def judge(self, index: float) -> str:
        """Return the word for an index: what exceeds the mean of chance meets the marks."""
        if index <= self.most or index - self.mean < MOVED:
            return STABLE
        return MOVED_WORD if index - self.mean < SHIFTED else SHIFTED_WORD


def chance_index(expected: FeatureBins, sample: int, training: int) -> ChanceIndex:
    """Return what chance alone makes of the index between two samples of one distribution.

    Over `1/n + 1/m` the index then follows a chi-square distribution with one degree of freedom
    less than there are bins, so its mean is `(bins - 1) * (1/n + 1/m)`. The upper limit is
    exceeded once in a thousand times.

    Source: Yurdakul and Naranjo: Statistical properties of the population stability index,
    Journal of Risk Model Validation 14 (4), 2020.

    Args:
        expected: The bins, of training. Bins that nothing fell into do not count.
        sample: n, how many independent values are compared with them.
        training: m, how many independent values the bins were made from.
    """
    freedom = max(sum(share > 0 for share in (*expected.shares, expected.unknown)) - 1, 1)
    spread = 1 / max(sample, 1) + 1 / max(training, 1)
    return ChanceIndex(freedom * spread, float(chdtri(freedom, _ODDS)) * spread)


def _bins(values: Floats) -> FeatureBins:
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, DECILES, method="inverted_cdf")) if len(known) else known
    shares = _counts(values, edges) / len(values)
    return FeatureBins(
        tuple(edges.tolist()), tuple(shares[:-1].tolist()), float(shares[-1]), len(values)
    )


def _counts(values: Floats, edges: Floats) -> Floats:
    """Return how many values lie in each bin, and last how many are unknown."""
    places = np.searchsorted(edges, values, side="left")  # NaN sorts after everything
    places[np.isnan(values)] = len(edges) + 1
    return np.bincount(places, minlength=len(edges) + 2).astype(np.float64)


def _smoothed(counts: Floats) -> Floats:
    smoothed: Floats = (counts + _HALF) / (counts.sum() + _HALF * len(counts))
    return smoothed
