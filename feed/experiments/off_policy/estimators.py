"""Off-policy evaluation: what another policy would have earned, from this one's log."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from feed.arrays import Floats
from feed.experiments.off_policy.bootstrap import ReaderBootstrap
from feed.experiments.off_policy.shrinkage import (
    Shrink,
    clustered_error,
    shrink_by_slope,
    shrink_optimistically,
    switch_off,
)
from feed.experiments.statistics.effects import Interval

CLIPS = (5.0, 10.0, 50.0)
"""Largest weights of the sensitivity table."""
LEAST_SHARE = 0.05
"""Effective rows, as a share of all rows, under which nothing is claimed."""

LEAST_ROWS = 200.0
"""Effective rows under which nothing is claimed."""

WEAK_ERROR = 0.166
"""Relative standard error over which an estimate is called weak: the truth may then lie a third of
the value away, at 95 %."""

MOST_ERROR = 0.333
"""Relative standard error over which an estimate is refused. Both bounds are those of Statistics
Canada's quality guidelines for survey estimates: "marginal" and "unacceptable"."""

MEAN_WEIGHT_ERRORS = 3.29
"""Standard errors by which the mean weight may miss 1: one false refusal in a thousand."""


@dataclass(frozen=True, slots=True)
class LoggedBandit:
    """A policy's log, beside what the policy to be evaluated would have done in the same place.

    Attributes:
        rewards: Shape (rows,): what was earned, such as 1 for a click.
        propensities: Shape (rows,): probability with which the logging policy took its action.
        targets: Shape (rows,): probability of the same action under the evaluated policy.
        readers: Shape (rows,): row number of the reader; rows of one reader are resampled
            together.
        predicted: Shape (rows,): reward that a model predicts for the action taken; from a model
            that has not seen the row.
        predicted_target: Shape (rows,): the model's prediction averaged over the evaluated
            policy's actions.
    """

    rewards: Floats
    propensities: Floats
    targets: Floats
    readers: NDArray[np.int64]
    predicted: Floats
    predicted_target: Floats

    def __post_init__(self) -> None:
        columns = (
            self.rewards,
            self.propensities,
            self.targets,
            self.readers,
            self.predicted,
            self.predicted_target,
        )
        if {column.shape for column in columns} != {(self.rewards.size,)}:
            raise ValueError("every column of a log needs one value a row")
        if not all(np.isfinite(column).all() for column in columns):
            raise ValueError("a value of the log is not a finite number")
        if self.rewards.size and not 0 < self.propensities.min() <= self.propensities.max() <= 1:
            raise ValueError("propensities must be over 0 and at most 1")
        if self.rewards.size and self.targets.min() < 0:
            raise ValueError("the evaluated policy's probabilities must not be negative")

    @property
    def weights(self) -> Floats:
        """Importance weights, shape (rows,)."""
        return self.targets / self.propensities


@dataclass(frozen=True, slots=True)
class Estimate:
    """The evaluated policy's value by one estimator; None where there is no estimate.

    Attributes:
        name: The estimator.
        value: Reward a row.
        interval: By bootstrap over readers; None as well where no row was rewarded, and where a
            part of the error is the reward model's, which cannot be seen in the sample: for
            ``direct`` and for the doubly robust estimates with smaller weights.
        relative_error: Standard error by the bootstrap over the value; None without an interval.
        weak: Whether the error is too large to act on the value alone, or cannot be seen; with
            smaller weights, whether this holds of the doubly robust estimate that they start from.
        refusal: Why there is no value although the log has one; empty otherwise.
        threshold: Of the weights, as chosen; None where no weight was made smaller.
    """

    name: str
    value: float | None
    interval: Interval | None
    relative_error: float | None = None
    weak: bool = False
    refusal: str = ""
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Overlap:
    """Whether the log can speak about the evaluated policy at all.

    Attributes:
        rows: Rows of the log.
        readers: Different readers.
        effective_rows: (sum w)^2 / sum w^2.
        effective_share: The same as a share of rows.
        largest_weight: The heaviest row.
        largest_share: Its share of all weight.
        mean_weight: 1 in expectation when the propensities are right and cover everything.
        mean_weight_error: Standard error of ``mean_weight``, over readers.
        matched: Rows that replay keeps, in expectation.
    """

    rows: int
    readers: int
    effective_rows: float
    effective_share: float
    largest_weight: float
    largest_share: float
    mean_weight: float
    mean_weight_error: float
    matched: float


@dataclass(frozen=True, slots=True)
class OffPolicyReport:
    """Every estimate of one policy from one log.

    Attributes:
        overlap: What the log can bear.
        estimates: Replay, IPS, SNIPS, doubly robust, the same with optimistic shrinkage and with
            a switch to the model, and direct (the reward model alone).
        clipped: IPS with the weights cut at each of ``CLIPS``, to see what large weights do.
        refusal: Why no estimate should be acted on, in words; empty when one may be.
    """

    overlap: Overlap
    estimates: tuple[Estimate, ...]
    clipped: tuple[Estimate, ...]
    refusal: str


def evaluate_policy(
    log: LoggedBandit,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    least_share: float = LEAST_SHARE,
    least_rows: float = LEAST_ROWS,
    most_error: float = MOST_ERROR,
) -> OffPolicyReport:
    """Estimate a policy's value from another policy's log.

    Source: Li, Chu, Langford and Wang (2011) and, for policies that draw, Mandel et al. (2016)
    for replay; Horvitz and Thompson (1952) for IPS; Swaminathan and Joachims (2015) for SNIPS;
    Dudik, Langford and Li (2011), eq. 1, for doubly robust; `shrinkage` for the two that make
    large weights smaller; Kong (1992) for the effective size.

    Args:
        log: The log.
        rng: Draws replay's matches and the bootstrap.
        level: Confidence level.
        least_share: Effective rows under this share of the rows are refused.
        least_rows: And so are fewer effective rows than this.
        most_error: A single estimate with a larger relative standard error is refused.

    Returns:
        Estimates, diagnostics and, where the log cannot bear them, a refusal in words. Estimates
        are None for an empty log.
    """
    weights, rewards = log.weights, log.rewards
    ones = np.ones_like(rewards)
    highest = float(weights.max()) if weights.size else 0.0
    kept = (rng.random(weights.size) * highest < weights).astype(np.float64)
    residuals, index = rewards - log.predicted, _index_of(log.readers)
    columns = (
        ("replay", kept * rewards, kept),
        ("ips", weights * rewards, ones),
        ("snips", weights * rewards, weights),
        ("doubly_robust", log.predicted_target + weights * residuals, ones),
    )
    clips = tuple(
        (f"ips_clipped_{clip:g}", np.minimum(weights, clip) * rewards, ones) for clip in CLIPS
    )
    overlap = measure_overlap(log)
    bootstrap = ReaderBootstrap(log.readers, rng)
    found = [_estimate(*column, bootstrap, level, most_error) for column in columns]
    robust_is_weak = found[-1].weak or found[-1].value is None
    return OffPolicyReport(
        overlap,
        (
            *found,
            *(_shrunk(name, log, residuals, index, weak=robust_is_weak) for name in SHRUNK),
            _direct(log),
        ),
        tuple(_estimate(*column, bootstrap, level, most_error) for column in clips),
        refuse(overlap, least_share=least_share, least_rows=least_rows),
    )


def measure_overlap(log: LoggedBandit) -> Overlap:
    """Measure how much of the log is about the evaluated policy.

    Args:
        log: The log.

    Returns:
        The diagnostics; zeros for an empty log.
    """
    weights = log.weights
    rows, total = int(weights.size), float(weights.sum())
    largest = float(weights.max()) if rows else 0.0
    if total <= 0:
        return Overlap(rows, int(np.unique(log.readers).size), 0, 0, largest, 0, 0, 0, 0)
    effective = total**2 / float(np.square(weights).sum())
    return Overlap(
        rows=rows,
        readers=int(np.unique(log.readers).size),
        effective_rows=effective,
        effective_share=effective / rows,
        largest_weight=largest,
        largest_share=largest / total,
        mean_weight=total / rows,
        mean_weight_error=clustered_error(weights, _index_of(log.readers)),
        matched=total / largest,
    )


def refuse(
    overlap: Overlap, *, least_share: float = LEAST_SHARE, least_rows: float = LEAST_ROWS
) -> str:
    """Say in words why nothing should be claimed from a log, if so.

    Args:
        overlap: What the log can bear.
        least_share: Effective rows wanted, as a share of all rows.
        least_rows: Effective rows wanted.

    Returns:
        The reason; empty when estimates may be acted on.
    """
    if overlap.rows == 0:
        return "the log is empty"
    if overlap.effective_rows == 0:
        return "the evaluated policy never takes an action of the log"
    if overlap.effective_share < least_share:
        return (
            f"overlap is too small: {overlap.rows} rows count like "
            f"{overlap.effective_rows:.0f} ({overlap.effective_share:.1%}, under {least_share:.0%})"
        )
    if overlap.effective_rows < least_rows:
        return (
            f"too little data: {overlap.rows} rows count like {overlap.effective_rows:.0f}, "
            f"under {least_rows:.0f}"
        )
    if abs(overlap.mean_weight - 1.0) > MEAN_WEIGHT_ERRORS * overlap.mean_weight_error:
        return (
            "propensities cannot be right, or do not cover the evaluated policy: weights average "
            f"{overlap.mean_weight:.3f} +- {overlap.mean_weight_error:.3f} instead of 1"
        )
    return ""


def blank(report: OffPolicyReport) -> OffPolicyReport:
    """Return a refused report without the numbers that it refuses, any other one as it is."""
    if not report.refusal:
        return report
    estimates, clipped = (
        tuple(Estimate(estimate.name, None, None) for estimate in part)
        for part in (report.estimates, report.clipped)
    )
    return replace(report, estimates=estimates, clipped=clipped)


SHRUNK: dict[str, Shrink] = {"dr_shrunk": shrink_optimistically, "dr_switch": switch_off}
"""Doubly robust estimates with smaller weights, by name."""


def _estimate(
    name: str,
    above: Floats,
    below: Floats,
    bootstrap: ReaderBootstrap,
    level: float,
    most_error: float,
) -> Estimate:
    denominator = float(below.sum())
    if denominator <= 0:
        return Estimate(name, None, None)
    value = float(above.sum()) / denominator
    interval = bootstrap.ratio_interval(above, below, level)
    if interval is None or value == 0:
        return Estimate(name, value, interval, weak=True)
    half = (interval.high - interval.low) / 2.0
    error = half / float(ndtri((1.0 + level) / 2.0)) / abs(value)
    if error > most_error:
        reason = f"its standard error is {error:.0%} of the value, over {most_error:.0%}"
        return Estimate(name, None, None, error, refusal=reason)
    return Estimate(name, value, interval, error, weak=error > WEAK_ERROR)


def _shrunk(
    name: str, log: LoggedBandit, residuals: Floats, readers: NDArray[np.int64], *, weak: bool
) -> Estimate:
    if not residuals.size:
        return Estimate(name, None, None)
    found = shrink_by_slope(SHRUNK[name], log.weights, residuals, log.predicted_target, readers)
    threshold = None if math.isinf(found.threshold) else found.threshold
    return Estimate(name, float(found.rows.mean()), None, weak=weak, threshold=threshold)


def _index_of(readers: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(readers, return_inverse=True)[1].astype(np.int64)


def _direct(log: LoggedBandit) -> Estimate:
    value = float(log.predicted_target.mean()) if log.rewards.size else None
    return Estimate("direct", value, None, weak=value is not None)
