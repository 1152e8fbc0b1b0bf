"""Large importance weights made smaller in the doubly robust estimate, by a rule that sees data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from feed.arrays import Floats, Integers

CANDIDATES = 20
"""Thresholds that are tried beside no threshold at all."""
_LEAST = 1e-3
"""The smallest threshold, as a share of the largest weight."""
_CONFIDENCE = 1.96
"""Half-width of the intervals that are compared, in standard errors over readers."""
_SLACK = math.sqrt(6.0) - 1.0

Shrink = Callable[[Floats, float], Floats]


def shrink_optimistically(weights: Floats, threshold: float) -> Floats:
    """Return w * l / (w^2 + l) with l the square of the threshold.

    Weights far under the threshold stay what they are; a weight far above falls to threshold^2 / w.

    Source: Su, Dimakopoulou, Krishnamurthy and Dudik (2020), Doubly robust off-policy evaluation
    with shrinkage, eq. 9 (DRos).

    Args:
        weights: Shape (rows,), not negative.
        threshold: Over 0; infinite leaves every weight alone.

    Returns:
        Shape (rows,).
    """
    if math.isinf(threshold):
        return weights
    shrunk: Floats = weights * threshold**2 / (weights**2 + threshold**2)
    return shrunk


def switch_off(weights: Floats, threshold: float) -> Floats:
    """Return the weights up to the threshold, and 0 for those above: there the model speaks alone.

    Source: Wang, Agarwal and Dudik (2017), Optimal and adaptive off-policy evaluation in
    contextual bandits, section 3 (Switch), with doubly robust below the threshold.

    Args:
        weights: Shape (rows,), not negative.
        threshold: Over 0; infinite leaves every weight alone.

    Returns:
        Shape (rows,).
    """
    kept: Floats = np.where(weights <= threshold, weights, 0.0)
    return kept


def choose_by_slope(values: Sequence[float], widths: Sequence[float]) -> int:
    """Return the last candidate that agrees with all candidates before it.

    Candidates stand in the order of rising bias and falling variance. One is kept as long as its
    distance to each earlier one is no more than its own half-width plus (sqrt(6) - 1) times the
    earlier one's: then bias, which no interval shows, does not exceed what chance explains.

    Source: Su, Srinath and Krishnamurthy (2020), Adaptive estimator selection for off-policy
    evaluation, section 3 (SLOPE), for the rule; Tucker and Lee (2021), Improved estimator
    selection for off-policy evaluation, for the factor sqrt(6) - 1.

    Args:
        values: Estimates.
        widths: Half-widths of their confidence intervals.

    Returns:
        The place of the choice; 0 is the least biased one.
    """
    return max(
        i
        for i in range(len(values))
        if all(abs(values[i] - values[j]) <= widths[i] + _SLACK * widths[j] for j in range(i))
    )


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The doubly robust estimate with smaller weights.

    Attributes:
        rows: Shape (rows,): what each row adds; their mean is the estimate.
        threshold: That was chosen; infinite where no weight needed to be smaller.
    """

    rows: Floats
    threshold: float


def shrink_by_slope(
    shrink: Shrink, weights: Floats, residuals: Floats, model: Floats, readers: Integers
) -> Shrunk:
    """Choose a threshold by SLOPE and apply it.

    Candidates are no threshold, and thresholds from the largest weight down to a thousandth of it
    in equal ratios. Half-widths are 1.96 standard errors over readers.

    Args:
        shrink: How a threshold makes weights smaller.
        weights: Shape (rows,).
        residuals: Shape (rows,): reward less the model's prediction for the action taken.
        model: Shape (rows,): the model's prediction for the evaluated policy.
        readers: Shape (rows,): number of the reader, from 0.

    Returns:
        The estimate by rows.
    """
    largest = float(weights.max(initial=0.0))
    thresholds = [math.inf]
    if largest > 0:
        thresholds += np.geomspace(largest, _LEAST * largest, CANDIDATES).tolist()
    rows = [model + shrink(weights, threshold) * residuals for threshold in thresholds]
    values = [float(found.mean()) if found.size else 0.0 for found in rows]
    widths = [_CONFIDENCE * clustered_error(found, readers) for found in rows]
    chosen = choose_by_slope(values, widths)
    return Shrunk(rows[chosen], thresholds[chosen])


def clustered_error(values: Floats, readers: Integers) -> float:
    """Return the standard error of a mean over rows when the rows of one reader are alike.

    Args:
        values: Shape (rows,).
        readers: Shape (rows,): number of the reader, from 0.

    Returns:
        The error; 0 without rows.
    """
    if not values.size:
        return 0.0
    sums = np.bincount(readers, values - values.mean())
    return float(np.sqrt(np.square(sums).sum())) / values.size
