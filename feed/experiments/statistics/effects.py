"""The effect of a variant: difference and ratio to control, raw and adjusted, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from scipy.special import stdtr, stdtrit

from feed.experiments.statistics.aggregates import Moments

_METRIC, _COVARIATE = 0, 2


class Interval(NamedTuple):
    """A closed interval."""

    low: float
    high: float

    def covers(self, value: float) -> bool:
        """Whether a number lies inside."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class ArmMean:
    """The metric in one variant.

    Attributes:
        n: Readers.
        mean: The metric: mean a reader, or ratio of two means; None when it does not exist.
        variance: Variance of ``mean``, not of one reader.
    """

    n: int
    mean: float | None
    variance: float


@dataclass(frozen=True, slots=True)
class Effect:
    """Treatment against control in one metric; a field is None where there is no estimate.

    Attributes:
        control: The metric in control.
        treatment: The metric in treatment.
        level: Confidence level of the intervals.
        difference: Treatment minus control.
        standard_error: Of ``difference``.
        degrees_of_freedom: Welch and Satterthwaite's.
        interval: For ``difference``.
        relative: Treatment over control, minus 1.
        relative_interval: For ``relative``, by Fieller; None as well when control is not clear of
            zero. It excludes 0 exactly when ``interval`` does.
        p_value: Two-sided, of no difference.
        least: Least relative effect that can be, where its intervals end: -1 if the metric is
            never negative; None if there is none.
        reason: Why an estimate is missing, in words; empty when it is there.
    """

    control: ArmMean
    treatment: ArmMean
    level: float
    difference: float | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    interval: Interval | None = None
    relative: float | None = None
    relative_interval: Interval | None = None
    p_value: float | None = None
    least: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AdjustedEffect:
    """An effect after taking out what was known of the readers before the start.

    Attributes:
        effect: The adjusted effect.
        slope: Coefficient of the covariate.
        variance_reduction: Share of the raw effect's variance that went away; None when there was
            no raw estimate.
    """

    effect: Effect
    slope: float
    variance_reduction: float | None


def estimate_effect(
    control: Moments, treatment: Moments, *, level: float = 0.95, least: float | None = None
) -> Effect:
    """Estimate the effect on a mean or on a ratio of means.

    Source: Welch (1947) for the test; Deng, Knoblich and Lu (2018), eq. 3, for the variance of a
    ratio; Fieller (1954) for the relative interval.

    Args:
        control: Moments of the control variant.
        treatment: Moments of the treatment variant.
        level: Confidence level.
        least: Least relative effect that can be, if any.

    Returns:
        The effect; without estimate, saying why, on empty, constant or zero-denominator input.
    """
    return compare_means(_raw_mean(control), _raw_mean(treatment), level, least)


def estimate_adjusted_effect(
    control: Moments, treatment: Moments, *, level: float = 0.95, least: float | None = None
) -> AdjustedEffect:
    """Estimate the effect with the pre-period covariate taken out (CUPED).

    The slope is that of all readers together, so it cannot depend on the assignment.

    Source: Deng, Xu, Kohavi and Walker (2013), Improving the sensitivity of online controlled
    experiments by utilizing pre-experiment data, eq. 4; for ratios section 4.4 with the delta
    method.

    Args:
        control: Moments of the control variant, with covariate.
        treatment: Moments of the treatment variant, with covariate.
        level: Confidence level.
        least: Least relative effect that can be, if any.

    Returns:
        The adjusted effect, its slope and the variance saved. Without a varying covariate the raw
        effect and a reduction of zero.
    """
    pooled = control + treatment
    spread = pooled.linear_covariance(_COVARIATE, _COVARIATE)
    covariates = (control.covariate_ratio, treatment.covariate_ratio, pooled.covariate_ratio)
    usable = spread > 0 and None not in covariates
    slope = pooled.linear_covariance(_METRIC, _COVARIATE) / spread if usable else 0.0
    effect = compare_means(
        _adjusted_mean(control, slope, pooled),
        _adjusted_mean(treatment, slope, pooled),
        level,
        least,
    )
    raw = estimate_effect(control, treatment, level=level).standard_error
    reduction = None
    if raw is not None:
        adjusted = effect.standard_error or 0.0
        reduction = 1.0 - (adjusted / raw) ** 2
    return AdjustedEffect(effect, slope, reduction)


def compare_means(
    control: ArmMean, treatment: ArmMean, level: float, least: float | None = None
) -> Effect:
    """Compare two independent means with known sampling variances.

    Args:
        control: The metric in control.
        treatment: The metric in treatment.
        level: Confidence level.
        least: Least relative effect that can be, if any.

    Returns:
        The effect.
    """
    reason = _missing(control, treatment)
    if control.mean is None or treatment.mean is None:
        return Effect(control, treatment, level, reason=reason)
    difference = treatment.mean - control.mean
    relative = _finite(treatment.mean / control.mean - 1.0) if control.mean > 0 else None
    variance = control.variance + treatment.variance
    if reason or variance <= 0:
        reason = reason or "every reader has the same value, so there is nothing to measure by"
        return Effect(
            control, treatment, level, difference=difference, relative=relative, reason=reason
        )
    freedom = welch_freedom(control, treatment)
    error = math.sqrt(variance)
    critical = float(stdtrit(freedom, (1.0 + level) / 2.0))
    return Effect(
        control,
        treatment,
        level,
        difference=difference,
        standard_error=error,
        degrees_of_freedom=freedom,
        interval=Interval(difference - critical * error, difference + critical * error),
        relative=relative,
        relative_interval=fieller_interval(control, treatment, critical, least),
        least=least,
        p_value=min(1.0, 2.0 * float(stdtr(freedom, -abs(difference) / error))),
    )


def welch_freedom(control: ArmMean, treatment: ArmMean, scale: float = 1.0) -> float:
    """Degrees of freedom of treatment - scale * control.

    Source: Welch (1947) and Satterthwaite (1946).

    Args:
        control: At least two readers.
        treatment: At least two readers; one of the variances positive.
        scale: Weight of control in the contrast.

    Returns:
        Degrees of freedom, between the smaller n - 1 and the sum of both.
    """
    total = treatment.variance + scale**2 * control.variance
    shares = (scale**2 * control.variance / total, treatment.variance / total)
    return 1.0 / (shares[0] ** 2 / (control.n - 1) + shares[1] ** 2 / (treatment.n - 1))


def fieller_interval(
    control: ArmMean, treatment: ArmMean, critical: float, least: float | None = None
) -> Interval | None:
    """Interval for treatment / control - 1: the ratios that the data do not reject.

    A ratio r is rejected when (treatment - r control)^2 > critical^2 (var treatment + r^2 var
    control); the bounds are the roots of that quadratic.

    Source: Fieller (1954), Some problems in interval estimation, section 3.

    Args:
        control: Denominator.
        treatment: Numerator.
        critical: Width in standard errors.
        least: Least relative effect that can be, if any: the interval ends there.

    Returns:
        The interval; None when control lies within ``critical`` standard errors of zero, where
        no bounded interval exists, or below zero.
    """
    below, above = control.mean, treatment.mean
    if below is None or above is None or below <= 0:
        return None
    square = critical**2
    clearance = below**2 - square * control.variance
    if clearance <= 0:
        return None
    root = critical * math.sqrt(treatment.variance * clearance + above**2 * control.variance)
    centre = below * above
    low, high = (centre - root) / clearance - 1.0, (centre + root) / clearance - 1.0
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return Interval(low, high) if least is None else Interval(max(low, least), max(high, least))


def _raw_mean(moments: Moments) -> ArmMean:
    variance = moments.linear_covariance(_METRIC, _METRIC) / moments.n if moments.n else 0.0
    return ArmMean(moments.n, moments.ratio, max(variance, 0.0))


def _adjusted_mean(moments: Moments, slope: float, pooled: Moments) -> ArmMean:
    raw = _raw_mean(moments)
    before, everyone = moments.covariate_ratio, pooled.covariate_ratio
    if slope == 0 or raw.mean is None or before is None or everyone is None:
        return raw
    variance = (
        moments.linear_covariance(_METRIC, _METRIC)
        + slope**2 * moments.linear_covariance(_COVARIATE, _COVARIATE)
        - 2.0 * slope * moments.linear_covariance(_METRIC, _COVARIATE)
    )
    return ArmMean(raw.n, raw.mean - slope * (before - everyone), max(variance / raw.n, 0.0))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _missing(control: ArmMean, treatment: ArmMean) -> str:
    for name, arm in (("control", control), ("treatment", treatment)):
        if arm.n == 0:
            return f"no reader in {name}"
        if arm.mean is None:
            return f"the metric does not exist in {name}: its denominator is zero"
        if arm.n < 2:
            return f"one reader in {name} is too few for an interval"
    return ""
